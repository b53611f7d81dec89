"""`VirtualBoard`, for asyncio, and the boards that URLs name."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Literal

from belay_py.errors import DeviceBusy
from belay_py.virtual import running
from belay_py.virtual.options import VirtualBoardOptions, parse_url
from belay_py.virtual.process import BoardProcess

if TYPE_CHECKING:
    import os
    import socket
    from types import TracebackType
    from typing import Self


def open_board(url: str) -> BoardProcess:
    """Give the running board that a URL names.

    ``virtual:`` is a new board of the caller's own, who closes it. ``virtual:NAME`` is made on first use and lives as
    long as this process, unless a board of that name is there already: of a `VirtualBoard` or a `BoardProcess`. Options
    follow as in ``virtual:NAME?window=32&raw_paste=refused``; for a board that exists they must be the ones it has.
    """
    name, options = parse_url(url)
    board = running.enter(BoardProcess(name, options))
    if options is not None and options != board.options:
        raise DeviceBusy(
            f"{board.port} exists with other options; leave them out of {url!r}, or use another name",
            holder=board.port,
        )
    board.start()  # also of one that another thread has made: it waits for that to be done
    return board


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
        """The same board, blocking; either face may start and close it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port}>"

    @property
    def port(self) -> str:
        """The URL to open a session on, in this process."""
        return self.process.port

    async def start(self) -> None:
        """Start the board, unless it runs. Raises VirtualBoardUnavailable, and DeviceBusy when the name is taken."""
        if self.process.is_running:
            return  # a cancellation would end what somebody else has
        task = asyncio.ensure_future(asyncio.to_thread(self.process.start))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it is starting must not be left behind.
            await asyncio.to_thread(self.process.close)
            with contextlib.suppress(Exception):
                await task
            raise

    async def close(self) -> None:
        """End the board. Safe at any time, any number of times."""
        await asyncio.to_thread(self.process.close)

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
