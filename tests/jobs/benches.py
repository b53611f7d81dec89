"""A virtual board behind a faulty wire, what is wrong with it at present, and which code must have run on it how often.

Each piece of code that is counted begins by writing a token of its own into a file of the board, which outlives
restarts and the loss of power. A check reads that file while nobody else has the board.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py import BelayError, SettingsError
from belay_py.testing import Corrupt, Cut, Drop, Duplicate, FaultyWire
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from belay_py import DeviceSession
    from belay_py.testing import Direction
    from belay_py.testing import Fault as WireFault

READ: Final = "try:\n print(open('runs').read())\nexcept OSError:\n print()"
CLEAR: Final = "open('runs', 'w').close()"

_LOST: Final = {"Disconnected", "OutcomeUnknown", "ConnectionFailed", "DeviceNotFound", "DeviceBusy", "SessionTimeout"}
_RESTARTED: Final = {*_LOST, "BoardWasReset"}
EXCUSED: Final = {
    "unplugged": _RESTARTED,
    "cut": _LOST,
    "cut at a byte": _LOST,
    "half-open": _LOST,
    "stall": _LOST,
    "reset": _RESTARTED,
    "corrupt": {*_RESTARTED, "ProtocolViolation"},
    "drop": {*_RESTARTED, "ProtocolViolation"},
    "duplicate": {*_RESTARTED, "ProtocolViolation"},
    "hung": {"DeviceBusy", "SessionTimeout"},
}
"""Which errors a fault may cause. A lost link is also met as a port that is away or does not answer,
and by others as a board that somebody has for too long."""
_SILENCE: Final = ("stall", "half-open")
"""In the integrity mode a board that is silent for a second while it reads code counts as damage, too."""
NOISE: Final = ("corrupt", "drop", "duplicate")
"""Only with the integrity mode: without it a wrong result is no wonder."""
_FOLLOWED = 300.0
"""Seconds for which a fault that is over is kept; no job takes as long."""


@dataclass(eq=False)
class Trouble:
    """One fault, from its beginning to the first success that began after it."""

    kind: str
    began: float
    over: float | None = None
    healed: float | None = None


@dataclass(eq=False)
class Entry:
    """How often a piece of code may have run; None while that is not known."""

    least: int = 0
    most: int | None = None
    judged: bool = False


class Bench:
    """One board, its wire, its troubles and its counts."""

    def __init__(self, number: int, *, integrity: bool) -> None:
        self.name = f"board-{number}"
        self.integrity = integrity
        self.board = VirtualBoard(f"reliability-{number}")
        self.wire = FaultyWire(self.board.port)
        self.troubles: deque[Trouble] = deque()
        self.wrong: list[str] = []
        self.checked = 0
        """How many pieces of code were counted and found right."""
        self._ledger: dict[str, Entry] = {}
        self._number = 0

    # -- what ran -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def counted(self) -> Iterator[tuple[str, str]]:
        """Give a new token and the code that notes it; how the block ends says how often that must have run."""
        self._number += 1
        token = f"{self.name}:{self._number}"
        entry = self._ledger[token] = Entry()
        try:
            yield token, f"with open('runs', 'a') as runs: runs.write('{token}\\n')\n"
        except BelayError as error:
            entry.most = 0 if getattr(error, "outcome", None) == "not_started" else 1
            raise
        except BaseException:  # cancelled
            entry.most = 1
            raise
        entry.least = entry.most = 1

    async def check(self, session: DeviceSession) -> None:
        """Compare what ran on the board with what must have; only who leases it may call this."""
        self._judge((await session.execute(READ, timeout=30)).output.split())
        await session.execute(CLEAR, timeout=30)
        self._ledger = {token: entry for token, entry in self._ledger.items() if not entry.judged}

    def _judge(self, ran: list[str]) -> None:
        runs = Counter(ran)
        for token in runs.keys() - self._ledger.keys():
            self.wrong.append(f"{token!r} ran after it was over")
        for token, entry in self._ledger.items():
            if not entry.least <= runs[token] <= (entry.most or 0):
                self.wrong.append(f"{token} ran {runs[token]} times: {entry}")
            if entry.most is not None:
                self.checked += not entry.judged
                # Until the file is known to be cleared, the same is found again, or nothing.
                entry.least, entry.most, entry.judged = 0, runs[token], True

    # -- what is wrong ------------------------------------------------------------------------------------------

    @property
    def is_whole(self) -> bool:
        """Whether no fault is under way."""
        return all(trouble.over is not None for trouble in self.troubles)

    def succeeded(self, began: float) -> None:
        """Something has worked that began at that time: what was over by then is healed."""
        now = asyncio.get_running_loop().time()
        for trouble in self.troubles:
            if trouble.over is not None and trouble.over <= began and trouble.healed is None:
                trouble.healed = now
        while self.troubles and (self.troubles[0].healed or now) < now - _FOLLOWED:
            self.troubles.popleft()

    def excuses(self, began: float, error: BelayError) -> bool:
        """Whether one of the faults that something has met, which began at that time, may cause that error."""
        met, name = self.met(began), type(error).__name__
        if name != "ProtocolViolation" or not {*NOISE}.isdisjoint(met):
            return any(name in EXCUSED[kind] for kind in met)
        if self.integrity and not {*_SILENCE}.isdisjoint(met):
            return True
        # The board was met at the prompt of its restart, and the next fault came before it could be asked about that.
        restarted = not {"reset", "unplugged"}.isdisjoint(met)
        return restarted and len(met) > 1 and getattr(error, "outcome", None) == "not_started"

    def met(self, began: float) -> list[str]:
        """Which kinds of fault something has met that began at that time."""
        return [trouble.kind for trouble in self.troubles if trouble.healed is None or trouble.healed >= began]

    @contextlib.contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        """Note a fault that lasts as long as the block."""
        loop = asyncio.get_running_loop()
        trouble = Trouble(kind, loop.time())
        self.troubles.append(trouble)
        try:
            yield
        finally:
            trouble.over = loop.time()

    # -- faults -------------------------------------------------------------------------------------------------

    async def strike(self, kind: str, chance: random.Random, longest: float) -> None:
        """Let a fault happen, for up to ``longest`` seconds, and make everything whole again."""
        line = chance.choice((self.wire.to_board, self.wire.to_host))
        while_ = min(longest, chance.choice((0.1, 1.0, 6.0)) * chance.random())
        with self.trouble(kind):
            try:
                if kind == "unplugged":
                    await self.board.unplug()
                elif kind == "cut":
                    await self.wire.cut()
                elif kind == "cut at a byte":
                    await self._armed(line, chance.randrange(400), Cut)
                elif kind == "half-open":
                    self.wire.half_open()
                elif kind == "stall":
                    line.stall()
                elif kind == "reset":
                    await self.board.reset()
                    return
                else:
                    mask = 1 << chance.randrange(8)
                    faults: dict[str, Callable[[], WireFault]] = {
                        "corrupt": lambda: Corrupt(mask),
                        "drop": Drop,
                        "duplicate": Duplicate,
                    }
                    await self._armed(line, chance.randrange(400), faults[kind])
                    return
                await asyncio.sleep(while_)
                if kind == "half-open":
                    await self.wire.cut()
            finally:
                await self._mend(kind)

    async def _armed(self, line: Direction, further: int, fault: Callable[[], WireFault]) -> None:
        """Let it happen so many bytes from now, if they come soon."""
        while True:
            try:
                line.at(line.passed + further, fault())
            except SettingsError:  # bytes have passed in between
                continue
            break
        for _ in range(50):
            if not line.armed:
                return
            await asyncio.sleep(0.2)

    async def _mend(self, kind: str) -> None:
        if kind == "unplugged":
            await self.board.replug()
        self.wire.to_board.clear()
        self.wire.to_host.clear()
        if self.wire.is_cut:
            await self.wire.replug()
