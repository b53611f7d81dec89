"""`FaultyWire`: a wire between any board and any client, which fails where a test says."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from belay_py.devices.identity import scheme_of
from belay_py.errors import BelayError, NotSupported, SettingsError
from belay_py.testing.wire_board import BoardLink
from belay_py.testing.wire_faults import check, to_json
from belay_py.testing.wire_lane import Model
from belay_py.testing.wire_memory import MemoryWire
from belay_py.testing.wire_process import WireProcess
from belay_py.transports import LinkOptions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from belay_py.testing.wire_faults import Fault

Kind = Literal["pty", "socket", "memory"]

_DEFAULT_RATE = 115200
_ANYWHERE = "127.0.0.1:0"
_LOOK_INTERVAL = 0.0005


class Direction:
    """What happens to the bytes of one direction. Counts begin at zero at each plugging and at `FaultyWire.reset`."""

    def __init__(self, wire: FaultyWire, name: str) -> None:
        self._wire = wire
        self._name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def passed(self) -> int:
        """How many bytes were delivered."""
        return int(self._look()["passed"])

    @property
    def stalled(self) -> bool:
        """Whether nothing is delivered at present."""
        return bool(self._look()["stalled"])

    @property
    def armed(self) -> list[int]:
        """The places of the faults that have not happened."""
        return list(self._look()["armed"])

    def at(self, place: int, fault: Fault) -> None:
        """Let ``fault`` happen after ``place`` bytes of this direction, counted as the sender sent them.

        `Cut` and `Stall` happen as soon as so many were delivered; where so many were already, or for 0, when the next
        byte comes. The others act on the byte after these. On a cut wire this is for the next plugging.
        Raises `SettingsError` when that byte has passed already, or for what is no fault.
        """
        check(place, fault)
        self._wire._ask({"do": "at", "lane": self._name, "place": place, "fault": to_json(fault)})  # noqa: SLF001  a part of it

    def stall(self) -> None:
        """Deliver nothing more, until `resume`. The sender is held up as soon as 4 KiB wait."""
        self._wire._ask({"do": "stall", "lane": self._name})  # noqa: SLF001  a part of it

    def resume(self) -> None:
        """End a stall; what waited is delivered."""
        self._wire._ask({"do": "resume", "lane": self._name})  # noqa: SLF001  a part of it

    def clear(self) -> None:
        """Forget the faults that have not happened, and end a stall."""
        self._wire._ask({"do": "clear", "lane": self._name})  # noqa: SLF001  a part of it

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = self._wire._look()[self._name]  # noqa: SLF001  a part of it
        return found


class FaultyWire:
    """A wire from a port of its own to ``board_port``, any port that a session could open.

    ```python
    async with VirtualBoard() as board, FaultyWire(board.port, baudrate=115200) as wire:
        wire.to_host.at(100, Cut())
        session = DeviceSession(wire.port)
    ```

    ``kind`` is what its port is: ``"pty"``, ``"socket"`` (on loopback) or ``"memory"``; by default ``memory`` for
    ``memory:`` boards, else ``pty``. The first two run in a process of their own; the last in this one and its event
    loop, on a `VirtualClock` if it is one.

    ``baudrate`` None takes no time; else each direction is a serial line of its own, 10 bits a byte. ``latency`` and
    ``jitter`` are seconds. ``drop``, ``corrupt`` and ``duplicate`` are odds for each byte, drawn from ``seed``.
    ``link`` names the port: a symbolic link for ``pty`` (without it, one in a temporary folder that stays the same),
    ``HOST:PORT`` for ``socket``, a name for ``memory``.

    The board's port is opened once, and kept when the host's side is cut. Modem lines do not pass. What a board says
    while nobody has the wire's port open is lost, as on a real one.
    """

    def __init__(
        self,
        board_port: str,
        kind: Kind | None = None,
        *,
        baudrate: int | None = None,
        latency: float = 0.0,
        jitter: float = 0.0,
        drop: float = 0.0,
        corrupt: float = 0.0,
        duplicate: float = 0.0,
        seed: int = 0,
        link: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(board_port, str):
            raise SettingsError(f"a wire's board is {board_port!r}; it must be text, a path or a URL")
        self.board_port = board_port
        """The port behind it."""
        self._kind: Kind = kind or ("memory" if scheme_of(board_port) == "memory" else "pty")
        if self._kind not in ("pty", "socket", "memory"):
            raise SettingsError(f"{kind!r} is no kind of wire; use pty, socket or memory")
        if self._kind == "pty" and sys.platform == "win32":
            raise NotSupported('there are no pseudo-terminals on Windows; use kind="socket" or kind="memory"')
        self._model = Model(baudrate, latency, jitter, drop, corrupt, duplicate, seed)
        self._options = LinkOptions(baudrate=baudrate or _DEFAULT_RATE)
        self._where = _text_of(link)
        self._process: WireProcess | None = None
        self._memory: MemoryWire | None = None
        self._board: BoardLink | None = None
        self._port: str | None = None
        self.to_board = Direction(self, "to_board")
        self.to_host = Direction(self, "to_host")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._port or 'not started'} to {self.board_port}>"

    @property
    def port(self) -> str:
        """The port to open instead of the board's."""
        if self._port is None:
            raise BelayError("the wire is not there; start() it, or use async with")
        return self._port

    @property
    def is_cut(self) -> bool:
        """Whether the port is away."""
        return bool(self._look()["cut"])

    @property
    def has_board(self) -> bool:
        """Whether the board's port is open, and was not lost from its side."""
        return bool(self._look()["board"])

    @property
    def pid(self) -> int | None:
        """The process id of its engine; None in memory."""
        return None if self._process is None else self._process.pid

    # -- life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the board's port and make the wire's.

        Raises what opening a port raises, `SettingsError` for a link or address that is taken, `NotSupported`.
        """
        if self._port is not None:
            return
        try:
            if self._kind == "memory":
                self._memory = MemoryWire(self._model, self._where)
            else:
                where = self._where or (_ANYWHERE if self._kind == "socket" else None)
                self._process = WireProcess(self._kind, where, dataclasses.asdict(self._model))
            await self._open_board()
            self._port = self._ask({"do": "plug"})
        except BaseException:  # it goes on when nothing is left open
            await self.close()
            raise

    async def close(self) -> None:
        """End the wire and close the board's port. Any number of times."""
        self._port = None
        if self._memory is not None:
            memory, self._memory = self._memory, None
            await memory.close()
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.close)
        await self._leave_board()

    async def _leave_board(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            await board.close()

    async def _open_board(self) -> None:
        if self._memory is not None:
            await self._memory.open_board(self.board_port, self._options)
            return
        self._board = await BoardLink.open(self.board_port, self._options)
        self._ask({"do": "take_board"}, self._board.end)
        self._board.handed_over()

    # -- faults of the whole

    async def cut(self) -> None:
        """Lose the link: the client sees its end after what was delivered (it has a second to read that), and the port
        is gone. The board notices nothing."""
        self._ask({"do": "cut"})
        await self.until_cut()

    async def until_cut(self) -> None:
        """Wait until the link is lost, by whatever fault or by the board's end."""
        while not self.is_cut:  # noqa: ASYNC110  the engine is another process, and answers only
            await asyncio.sleep(_LOOK_INTERVAL)

    async def unplug(self) -> None:
        """Cut, and close the board's port as well. A virtual board without a name ends with that."""
        await self.cut()
        self._ask({"do": "leave_board"})
        if self._memory is not None:
            await self._memory.over
        await self._leave_board()

    async def replug(self, link: str | os.PathLike[str] | None = None) -> None:
        """Make the port again, after `cut` or `unplug`, under the name that it had or under ``link``.

        Counts begin at zero and stalls are over; faults that have not happened stay. The board's port is opened if it
        was closed. Raises what `start` raises.
        """
        if not self.has_board:
            await self._leave_board()
            await self._open_board()
        self._port = self._ask({"do": "plug", "where": _text_of(link)})

    def half_open(self) -> None:
        """Let both sides believe in a link on which all bytes vanish, until it is cut and plugged in again."""
        self._ask({"do": "half_open"})

    async def reset(self) -> None:
        """Be as new: no faults, nothing under way, counts at zero, the same chances again, plugged in."""
        self._ask({"do": "reset"})
        if self.is_cut:
            await self.replug()

    # -- internals

    def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask({"do": "look"})
        return found

    def _ask(self, asked: dict[str, Any], board: Any = None) -> Any:
        if self._memory is not None:
            return self._memory.handle(asked)
        if self._process is None:
            raise BelayError("the wire is not there; start() it, or use async with")
        return self._process.ask(asked, board)


def _text_of(link: str | os.PathLike[str] | None) -> str | None:
    if link is None or isinstance(link, str):
        return link
    if isinstance(link, os.PathLike):
        return str(os.fspath(link))
    raise SettingsError(f"a wire's link is {link!r}; it must be a path or an address")
