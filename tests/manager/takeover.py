"""Processes that are killed with a board in their hands, and processes that fight for one: what must hold then.

The tests do a little of it, and ``python -m tests.jobs.takeover`` the whole.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSession

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
LIMIT = 60  # seconds for what hangs, not an expectation

PREPARES = "ticks = 0"
RUNS = "while True:\n    ticks += 1"


class Program:
    """A process of `tests.manager.programs.owner`, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, how: str, *arguments: str) -> Program:
        """Start one."""
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.manager.programs.owner", how, *arguments),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def line(self) -> str:
        """What it says next; at its end, what went wrong is raised."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            line = (await self.process.stdout.readline()).decode().strip()
            if not line:
                raise AssertionError((await self.process.stderr.read()).decode())
        return line

    async def lines(self) -> AsyncIterator[str]:
        """All that it said until its end."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT):
            async for line in self.process.stdout:
                yield line.decode().strip()

    def go_on(self) -> None:
        """Let it go on where it waits to be told so."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        """Wait for its end, which is to be a good one."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT):
            errors = (await self.process.stderr.read()).decode()
            assert await self.process.wait() == 0, errors


@dataclass
class Takeover:
    """What one kill, and the takeover after it, have shown."""

    pid: int
    told: dict[str, Any]
    """By the one who took over."""
    held: list[tuple[float, frozenset[int]]] = field(default_factory=list)
    """Which lease the dead process had from when on, by its own words."""
    killed_at: float = 0.0

    def wrong(self) -> list[str]:
        """What must never be."""
        told = self.told
        [left] = told["found"] or [{"pid": None, "sessions": [], "leases": []}]
        states = {leases for _, leases in self.held}
        return [
            what
            for what, right in (
                ("nothing was found, or of another process", left["pid"] == self.pid),
                ("the session is not in the journal", left["sessions"] == ["left"]),
                (f"the journal has the leases {left['leases']}", frozenset(left["leases"]) in states),
                ("another life", told["attached"] is True),
                ("the board runs on", told["stopped"]),
                ("out of step", told["in step"]),
            )
            if not right
        ]

    @property
    def lag(self) -> float:
        """How many seconds before the kill the journal's leases were right last."""
        found = frozenset(self.told["found"][0]["leases"])
        for number, (_, leases) in reversed([*enumerate(self.held)]):
            if leases == found:
                until = self.held[number + 1][0] if number + 1 < len(self.held) else self.killed_at
                return max(0.0, self.killed_at - until)
        return float("inf")


async def kill_and_take_over(journal: str, port: str, chance: random.Random) -> Takeover:
    """Let a process use a board, kill it at a random moment, and let a new one take over."""
    async with DeviceSession(port) as session:
        await session.execute(PREPARES)
    owner = await Program.start("load", journal, port)
    assert await owner.line() == "ready"
    await asyncio.sleep(chance.uniform(0.0, 0.5))
    killed_at = time.monotonic()
    await owner.kill()
    held: list[tuple[float, frozenset[int]]] = [(0.0, frozenset())]
    async for line in owner.lines():
        what, lease, when = line.split()
        held.append((float(when), frozenset({int(lease)} if what == "took" else ())))
    # It may have been killed between a deed and the word for it.
    if held[-1][1]:
        held.append((killed_at, frozenset()))
    else:
        held.append((killed_at, frozenset({1 + max((max(each) for _, each in held if each), default=0)})))
    heir = await Program.start("succeed", journal, port)
    told = json.loads(await heir.line())
    await heir.end()
    return Takeover(owner.process.pid, told, held, killed_at)


# ---- Two who want one board ----


async def take_a_turn(session: DeviceSession, me: str) -> None:
    """Add 1 to the board's counter in a way that goes wrong as soon as somebody else is there meanwhile.

    What the counter was is read by the host and written by the host, and the board knows whose turn it is.
    """
    seen, counter = await session.evaluate(f"_turn({me!r})")
    assert seen is None, f"{me} met {seen}"
    for _ in range(3):
        assert await session.evaluate("owner") == me
    await session.execute(f"counter = {counter + 1}")
    seen, _ = await session.evaluate("_turn(None)")
    assert seen == me, f"{me} had the turn, and then {seen} had it"


REFEREE = """
owner = None
counter = 0
def _turn(who):
    global owner
    before, owner = owner, who
    return before, counter
"""


@dataclass
class Fight:
    """What came of one."""

    turns: list[int]
    busy: list[int]
    counter: int
    owner: str | None
    wrong: list[str]


async def fight(port: str, *, turns: int, seconds: float, exclusive: bool = True) -> Fight:
    """Let two processes take turns with one board until both had enough, and ask the board how many there were."""
    async with DeviceSession(port) as session:
        await session.execute(REFEREE)
    how = "exclusive" if exclusive else "shared"
    rivals = [await Program.start("fight", str(turns), port, me, str(seconds), how) for me in ("A", "B")]
    wrong = []
    told = []
    for rival in rivals:
        try:
            told.append(json.loads(await rival.line()))
            await rival.end()
        except AssertionError as error:
            wrong.append(str(error).strip().rpartition("\n")[2])
            told.append({"turns": 0, "busy": 0})
    async with DeviceSession(port) as session:
        counter, owner = await session.evaluate("counter"), await session.evaluate("owner")
    if counter != sum(each["turns"] for each in told):
        wrong.append(f"the counter is {counter} after {[each['turns'] for each in told]} turns")
    return Fight([each["turns"] for each in told], [each["busy"] for each in told], counter, owner, wrong)
