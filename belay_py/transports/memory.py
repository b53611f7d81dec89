"""A link without a system: the board's end is an object that a test scripts.

It fails on demand, which no board does: bytes come in the pieces that the test chooses, writes get stuck, the link is
lost between two of them.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from typing import TYPE_CHECKING

from belay_py.errors import DeviceBusy, DeviceNotFound, Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.transports.base import LinkOptions, Opener, Receiver, Transport

_HIGH_WATER = 64 * 1024

_boards: weakref.WeakValueDictionary[str, MemoryBoard] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


class MemoryBoard:
    """The board's end. All its methods belong to the event loop's thread.

    ``received`` is all that the host has sent, over every connection. ``on_data``, when set, is called with each
    piece as it comes, after it was added to ``received``; it may answer with `feed`. ``on_open``, when set, is called
    after each opening; ``options`` are those of the last one. ``lines`` is what was asked of DTR and RTS, at each
    opening and since. Without ``plugged`` there is no such port.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self.received = bytearray()
        self.on_data: Callable[[bytes], None] | None = None
        self.on_open: Callable[[], None] | None = None
        self.options: LinkOptions | None = None
        self.connections = 0
        self.plugged = True
        self.lines: list[tuple[bool | None, bool | None]] = []
        self._host: _MemoryTransport | None = None
        self._stalled = False
        self._arrived = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether a host's transport is open."""
        return self._host is not None

    def feed(self, data: bytes) -> None:
        """Send to the host. It arrives as one piece, in the loop's next turn, or when the host resumes reading.

        Without a host it is lost, as on a wire.
        """
        if self._host is not None and data:
            self._host.deliver(bytes(data))

    def lose(self, exc: Exception | None = None) -> None:
        """Unplug, for the reason ``exc`` if any, after what was fed has arrived."""
        if self._host is not None:
            self._host.lose(exc)

    def stall(self) -> None:
        """Take no more bytes: they stay in the host's buffer."""
        self._stalled = True

    def resume(self) -> None:
        """Take bytes again."""
        self._stalled = False
        if self._host is not None:
            self._host.flush()

    async def receive(self, count: int) -> bytes:
        """Take the next ``count`` bytes out of ``received``, waiting for them."""
        while len(self.received) < count:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def _attach(self, host: _MemoryTransport | None) -> None:
        if host is not None:
            self.connections += 1
        self._host = host

    def _take(self, data: bytes) -> bool:
        if self._stalled:
            return False
        self.received += data
        self._arrived.set()
        if self.on_data is not None:
            self.on_data(data)
        return True


class _MemoryTransport:
    """The host's end."""

    def __init__(self, board: MemoryBoard, receiver: Receiver) -> None:
        self._board = board
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._inbox: list[bytes] = []
        self._outbox = bytearray()
        self._reading = True
        self._pump_due = False
        self._closing = False
        self._lost: Disconnected | None = None
        self._writing_paused = False
        board._attach(self)  # noqa: SLF001  the two ends of one pair

    def write(self, data: bytes) -> None:
        if self._closing or self._lost or not data:
            return
        if self._outbox or not self._board._take(bytes(data)):  # noqa: SLF001  the two ends of one pair
            self._outbox += data
            if len(self._outbox) > _HIGH_WATER and not self._writing_paused:
                self._writing_paused = True
                self._receiver.pause_writing()

    def flush(self) -> None:
        if self._outbox and self._board._take(bytes(self._outbox)):  # noqa: SLF001  the two ends of one pair
            self._outbox.clear()
            if self._writing_paused:
                self._writing_paused = False
                self._receiver.resume_writing()

    def deliver(self, data: bytes) -> None:
        if self._lost is None:
            self._inbox.append(data)
            self._schedule()

    def lose(self, exc: Exception | None) -> None:
        if self._lost is None:
            why = f" ({exc})" if exc else ""
            self._lost = Disconnected(f"{self._board.port} is gone{why}: plug it in again and reconnect")
            self._lost.__cause__ = exc
            self._schedule()

    def _schedule(self) -> None:
        # Never from within feed(): a board that answers inside write() would re-enter the host.
        if not self._pump_due and (self._reading or self._lost):
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        while self._inbox and self._reading and not self._closing:
            self._receiver.data_received(self._inbox.pop(0))
        if self._lost and not self._closing:
            self._end(self._lost)

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self._board.lines.append((dtr, rts))

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        if self._inbox:
            self._schedule()

    def get_write_buffer_size(self) -> int:
        return len(self._outbox)

    def is_closing(self) -> bool:
        return self._closing

    def abort(self) -> None:
        if not self._closing:
            self._end(None)

    def _end(self, exc: Exception | None) -> None:
        self._closing = True
        self._outbox.clear()
        self._inbox.clear()
        self._board._attach(None)  # noqa: SLF001  the two ends of one pair
        self._loop.call_soon(self._receiver.connection_lost, exc)


def memory_pair(name: str | None = None) -> tuple[Opener, MemoryBoard]:
    """A host-side opener and the board behind it, which ``open_transport(board.port, …)`` finds too.

    The board is there as long as somebody refers to it.
    """
    board = MemoryBoard(f"memory:{name or next(_numbers)}")
    _boards[board.port] = board

    async def opener(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        return _open(board, receiver, options, port)

    return opener, board


async def open_memory(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open ``memory:NAME``, whose board `memory_pair` made. Raises `DeviceNotFound` or `DeviceBusy`."""
    board = _boards.get(port)
    if board is None:
        raise DeviceNotFound(
            f"there is no {port}: make it with ScriptedBoard({port.partition(':')[2]!r}) or memory_pair, and keep it"
        )
    return _open(board, receiver, options, port)


def _open(board: MemoryBoard, receiver: Receiver, options: LinkOptions, port: str) -> Transport:
    if not board.plugged:
        raise DeviceNotFound(f"{port} is unplugged: plug it in again")
    if board.connected and options.exclusive:
        raise DeviceBusy(f"{port} is in use by this process: close the other transport", holder="this process")
    board.options = options
    board.lines.append((options.dtr, options.rts))
    transport = _MemoryTransport(board, receiver)
    receiver.connection_made(transport)
    if board.on_open is not None:
        board.on_open()
    return transport
