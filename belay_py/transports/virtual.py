"""Virtual boards: a real MicroPython in a process of its own, reached over a socket.

``virtual:`` is a board of one's own, closed with the transport; ``virtual:NAME`` outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

from belay_py.errors import ConnectionFailed
from belay_py.transports.offload import offload
from belay_py.transports.relay import Relay
from belay_py.virtual import BoardProcess, open_board
from belay_py.virtual.options import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.transports.base import LinkOptions, Receiver, Transport

_log = logging.getLogger(__name__)


class _Plugged(NamedTuple):
    """A board, the host's end of its wire, and whether it is to be closed with that."""

    board: BoardProcess
    wire: socket.socket
    ours: bool


async def open_virtual(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Start or find the virtual board that ``port`` names, and plug into it. It has no rate and no lines.

    Raises `VirtualBoardUnavailable` when it cannot run here, `DeviceBusy` while somebody else is plugged in,
    `DeviceNotFound` while it is unplugged, `ConnectionFailed` when it cannot be reached.
    """
    del options
    loop = asyncio.get_running_loop()
    plugged = await offload(partial(_plug_in, port), _unplug, name=f"belay opening {port}")
    try:
        transport, _ = await loop.create_connection(lambda: _BoardRelay(port, receiver, plugged), sock=plugged.wire)
    except BaseException:  # cancelled, for all else has been done
        plugged.wire.close()
        _close_later(loop, plugged, None)
        raise
    return cast("Transport", transport)


def _plug_in(port: str) -> _Plugged:
    """Both steps ask the board's process and wait for its answer, so not on the loop."""
    ours = parse_url(port)[0] is None
    try:
        board = open_board(port)
        try:
            return _Plugged(board, board.open_wire(), ours)
        except BaseException:  # it goes on when nothing is left open
            if ours:
                _close(board)
            raise
    except OSError as exc:
        raise ConnectionFailed(f"cannot reach the board {port} ({exc.strerror or exc}): open it again") from exc


def _unplug(plugged: _Plugged) -> None:
    plugged.wire.close()
    if plugged.ours:
        _close(plugged.board)


class _BoardRelay(Relay):
    """Closes an anonymous board with its wire.

    When this side asked for the end, the receiver hears of it once the board is gone, so that nothing is left when
    ``connection_lost`` has been called. When the wire broke it hears at once.
    """

    def __init__(self, port: str, receiver: Receiver, plugged: _Plugged) -> None:
        super().__init__(port, receiver)
        self._plugged = plugged

    def connection_lost(self, exc: Exception | None) -> None:
        """As `Relay`; the board sees the end at once, also while a forked child has yet to close its copy."""
        with contextlib.suppress(OSError):  # it has ended
            self._plugged.wire.shutdown(socket.SHUT_RDWR)
        super().connection_lost(exc)

    def _tell(self, lost: Callable[[Exception | None], None], exc: Exception | None) -> None:
        loop = asyncio.get_running_loop()
        if exc is None and self._plugged.ours:
            _close_later(loop, self._plugged, partial(lost, None))
        else:
            _close_later(loop, self._plugged, None)
            lost(exc)


def _close(board: BoardProcess) -> None:
    try:
        board.close()
    except Exception:  # noqa: BLE001  it is called from threads and callbacks, where nobody could catch it
        _log.exception("a virtual board did not close cleanly")


def _close_later(loop: asyncio.AbstractEventLoop, plugged: _Plugged, then: Callable[[], None] | None) -> None:
    """Close a board of ours in asyncio's executor, which ``asyncio.run`` and the interpreter join: nothing is left."""
    if not plugged.ours:
        return

    def run() -> None:
        _close(plugged.board)
        if then is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
                loop.call_soon_threadsafe(then)

    try:
        loop.run_in_executor(None, run)
    except RuntimeError:  # the executor is shut down already: the loop is ending, and may wait
        run()
