"""`VirtualBoard`, for asyncio, and the boards that URLs name."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Literal

from belay_py.errors import DeviceBusy
from belay_py.virtual.options import VirtualBoardOptions, parse_url
from belay_py.virtual.process import BoardProcess

if TYPE_CHECKING:
    import socket
    from types import TracebackType
    from typing import Self

_named: dict[str, BoardProcess] = {}
_registry = threading.RLock()


def open_board(url: str) -> BoardProcess:
    """Give the running board that a URL names.

    ``virtual:`` is a new board of the caller's own, who closes it. ``virtual:NAME`` is made on first use and lives as
    long as this process, unless a `VirtualBoard` of that name is open. Options follow as in
    ``virtual:NAME?window=32&raw_paste=refused``; for a board that exists they must be the ones it has.
    """
    name, options = parse_url(url)
    if name is None:
        board = BoardProcess(None, options)
        board.start()
        return board
    with _registry:
        found = _named.get(name)
        if found is not None and found.is_running:
            if options is not None and options != found.options:
                raise DeviceBusy(
                    f"{found.port} exists with other options; leave them out of {url!r}, or use another name",
                    holder=found.port,
                )
            return found
        board = BoardProcess(name, options)
        board.start()
        _named[name] = board
        return board


def _register(board: BoardProcess) -> None:
    with _registry:
        found = _named.get(board.name)
        if found is not None and found.is_running:
            raise DeviceBusy(f"{board.port} exists already; use another name", holder=found.port)
        board.start()
        _named[board.name] = board


def _close(board: BoardProcess) -> None:
    with _registry:
        if _named.get(board.name) is board:
            del _named[board.name]
    board.close()


@atexit.register
def close_boards() -> None:
    """Close every named board. Runs at exit."""
    with _registry:
        boards = list(_named.values())
        _named.clear()
    for board in boards:
        board.close()


def _after_fork() -> None:
    """In the child: the boards are its parent's, who goes on to use them; a lock may be held by nobody any more."""
    global _registry  # noqa: PLW0603  it is replaced where no other thread can be
    _named.clear()
    _registry = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


class VirtualBoard:
    """A real MicroPython whose plug you hold.

    ```python
    async with VirtualBoard() as board:
        session = DeviceSession(board.port)
        await board.unplug()
    ```

    Keyword options are `VirtualBoardOptions`' fields. Outside ``async with``, call `start` and `close`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        folder: str | os.PathLike[str] | None = None,
        window: int = 128,
        raw_paste: Literal["on", "refused", "absent"] = "on",
        ring: int = 260,
        overrun: Literal["stall", "drop"] = "stall",
        memory: int = 32 << 20,
        storage: int = 16 << 20,
        unique_id: bytes | None = None,
        keeps_power: bool = False,
        reset_drops_link: bool = False,
    ) -> None:
        options = VirtualBoardOptions(
            folder=folder,
            window=window,
            raw_paste=raw_paste,
            ring=ring,
            overrun=overrun,
            memory=memory,
            storage=storage,
            unique_id=unique_id,
            keeps_power=keeps_power,
            reset_drops_link=reset_drops_link,
        )
        self.process = BoardProcess(name, options)
        """The same board, blocking."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port}>"

    @property
    def port(self) -> str:
        """The URL to open a session on, in this process."""
        return self.process.port

    async def start(self) -> None:
        """Start the board. Raises VirtualBoardUnavailable, and DeviceBusy when the name is taken."""
        task = asyncio.ensure_future(asyncio.to_thread(_register, self.process))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it is starting must not be left behind.
            await asyncio.to_thread(_close, self.process)
            with contextlib.suppress(Exception):
                await task
            raise

    async def close(self) -> None:
        """End the board. Safe at any time, any number of times."""
        await asyncio.to_thread(_close, self.process)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def open_wire(self, holder: str | None = None) -> socket.socket:
        """See `BoardProcess.open_wire`."""
        return self.process.open_wire(holder)

    def attach(self, end: socket.socket | int, *, holder: str | None = None) -> None:
        """See `BoardProcess.attach`."""
        self.process.attach(end, holder=holder)

    async def unplug(self) -> None:
        """Pull the plug: wires end, and the program too unless the board ``keeps_power``."""
        await asyncio.to_thread(self.process.unplug)

    async def replug(self) -> None:
        """Plug in again; the board boots, with its files, unless it kept its power."""
        await asyncio.to_thread(self.process.replug)

    async def reset(self) -> None:
        """Hard reset: everything but files starts anew, and ``main.py`` runs."""
        await asyncio.to_thread(self.process.reset)

    async def set_adc(self, channel: int | str, value: int) -> None:
        """Set what ``machine.ADC(channel).read_u16()`` reads, 0 to 65535."""
        await asyncio.to_thread(self.process.set_adc, channel, value)

    async def set_pin(self, pin: int | str, level: int) -> None:
        """Apply a level, 0 or 1, to an input pin."""
        await asyncio.to_thread(self.process.set_pin, pin, level)

    async def pin(self, pin: int | str) -> int | None:
        """Tell the level that the program drives; None while the pin is not an output."""
        return await asyncio.to_thread(self.process.pin, pin)
