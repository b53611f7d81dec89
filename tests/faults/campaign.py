"""One fault after the other at every byte of every conversation.

A fault is armed at a byte of one direction; the conversation runs into it and must end within its deadline and
`Limits.grace`, in its one right way or with an error that fits the fault. Then the wire is whole again, and the *same*
session must get the right answer to its next execution, which also tells how often the conversation's code ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py import BelayError, BoardWasReset, DeviceSession, SettingsError
from belay_py.session.wire import LONGEST_CLOSE
from belay_py.testing import Corrupt, Cut, Drop, Duplicate, Stall

from .conversations import Conversation, WrongEnd, proof, read_proof
from .judging import BREAKS, DIRECTIONS, Fault, Kind, State, usable
from .report import NOT_REACHED, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from belay_py import CommunicationOptions
    from belay_py.testing import Direction, FaultyWire
    from belay_py.testing import Fault as WireFault

_FAULTS: Final[dict[Kind, Callable[[], WireFault]]] = {
    "cut": Cut,
    "stall": Stall,
    "drop": Drop,
    "corrupt": lambda: Corrupt(0x01),
    "duplicate": Duplicate,
}


@dataclass(frozen=True)
class Limits:
    """Seconds for what is done while the wire fails, and for what must work."""

    breaking: float
    """The deadline of a conversation whose wire is cut, which ends by itself long before."""
    waiting: float
    """The deadline of any other."""
    connection: float
    recovery: float
    working: float = 60.0

    @property
    def grace(self) -> float:
        """How much later than its deadline a conversation may end: the board is brought back, a port is closed."""
        return self.recovery + LONGEST_CLOSE


class Bench:
    """One board behind a faulty wire, and the one session that meets all faults on it."""

    def __init__(self, wire: FaultyWire, limits: Limits, report: Report, communication: CommunicationOptions) -> None:
        self.session = DeviceSession(
            wire.port,
            connection_timeout=limits.connection,
            recovery_timeout=limits.recovery,
            communication=communication,
        )
        self._wire = wire
        self._limits = limits
        self._report = report
        self._proofs = 0
        self._right: object = None

    async def faults(self, conversation: Conversation, kinds: Iterable[Kind]) -> list[Fault]:
        """Run a conversation without a fault; return a fault for each kind and each byte of it."""
        await self.renew()
        await self._begin(conversation)
        await self._wire.reset()
        self._right = await conversation.act(self.session, self._limits.working)
        lengths = {"to_board": self._wire.to_board.passed, "to_host": self._wire.to_host.passed}
        if conversation.right not in (None, self._right):
            raise WrongEnd(f"{conversation.name}, without any fault, ended in {self._right!r}")
        if await self._prove() != conversation.runs:
            raise WrongEnd(f"{conversation.name}, without any fault, has not run {conversation.runs} times")
        return [
            Fault(conversation, kind, direction, offset)
            for kind in kinds
            for direction in DIRECTIONS
            # A wire can break behind the last byte, too.
            for offset in range(lengths[direction] + (kind in BREAKS))
        ]

    async def strike(self, fault: Fault) -> None:
        """Let one fault happen, judge what it does, and prove that the session works afterwards."""
        conversation, limits, judge = fault.conversation, self._limits, self._report.judge
        await self._begin(conversation)
        epoch = self.session.boot_epoch
        line = await self._arm(fault)
        limit = limits.breaking if fault.kind == "cut" else limits.waiting
        longest = (limits.connection if conversation.name == "connect" else limit) + limits.grace
        error: Exception | None = None
        outcome: object = None
        try:
            async with asyncio.timeout(longest):
                outcome = await conversation.act(self.session, limit)
        except Exception as raised:  # noqa: BLE001  any that is not ours is what the campaign looks for
            error = raised
        happened = not line.armed
        try:
            end = judge.end(fault, outcome, self._right, error, self.session)
            runs = await self._mend(fault, happened=happened)
            judge.runs(fault, error, runs, told=self.session.boot_epoch != epoch)
        except WrongEnd as wrong:
            end = self._report.fail(fault, wrong)
            happened = True
            await self.renew()
        self._report.count(fault, end if happened else NOT_REACHED)

    async def renew(self) -> None:
        """Have everything as at the beginning, whatever happened."""
        await self._wire.reset()
        await self.session.reconnect(timeout=self._limits.working)
        for _ in range(2):  # what is wrong with the first has been told already
            with contextlib.suppress(WrongEnd, BelayError):
                await self._prove()

    async def _arm(self, fault: Fault) -> Direction:
        line = self._line_of(fault)
        while True:
            await self._wire.reset()
            try:
                line.at(fault.offset, _FAULTS[fault.kind]())
            except SettingsError:  # the last byte of a disconnect was under way still, and counts as one that passed
                continue
            return line

    def _line_of(self, fault: Fault) -> Direction:
        return self._wire.to_board if fault.direction == "to_board" else self._wire.to_host

    async def _begin(self, conversation: Conversation) -> None:
        if conversation.begin is not None:
            await conversation.begin(self.session)

    async def _mend(self, fault: Fault, *, happened: bool) -> int | None:
        """After a fault: make the wire whole if it was broken, and return how often the code ran."""
        session, line = self.session, self._line_of(fault)
        try:
            if fault.kind == "cut" and happened:
                await self._wire.until_cut()
                await session.wait_for_state(State.DISCONNECTED, State.ERROR, timeout=self._limits.working)
                await self._wire.replug()
            elif usable(session):
                line.clear()
            if not usable(session):
                await self._connect_as_it_heals(line)
            return await self._prove()
        except BoardWasReset as error:
            if fault.kind in BREAKS:
                raise WrongEnd(f"the board was reset: {error!r}") from error
            return await self._prove()  # noise can be a request for a reset, which is told, once
        except BelayError as error:
            raise WrongEnd(f"the session does not work again: {error!r}") from error

    async def _connect_as_it_heals(self, line: Direction) -> None:
        sent = self.session.statistics.bytes_sent
        connecting = asyncio.create_task(self.session.reconnect(timeout=self._limits.working))
        # What was stalled arrives when somebody listens again: that is when it could be taken for something new.
        while self.session.statistics.bytes_sent == sent and not connecting.done():
            await asyncio.sleep(0.001)
        line.clear()
        await connecting

    async def _prove(self) -> int | None:
        """Run the next execution; return how often other code ran since the latest one. Raises `WrongEnd`."""
        self._proofs += 1
        result = await self.session.execute(proof(self._proofs), timeout=self._limits.working)
        return read_proof(result.output, self._proofs)


async def run(
    benches: list[Bench],
    report: Report,
    conversations: Iterable[Conversation],
    kinds: Iterable[Kind],
    *,
    sample: int | None = None,
    chance: Random | None = None,
) -> None:
    """Strike each fault of each conversation on one of the benches, or ``sample`` of them all, drawn by ``chance``."""
    plans = [[await bench.faults(conversation, kinds) for bench in benches] for conversation in conversations]
    before = resources()
    chosen = None
    if sample is not None and chance is not None:
        whole = [fault for plan in plans for fault in plan[0]]
        chosen = set(chance.sample(whole, min(sample, len(whole))))
    for plan in plans:
        faults = [fault for fault in plan[0] if chosen is None or fault in chosen]
        if faults:
            await asyncio.gather(
                *(_strike_all(bench, faults[number :: len(benches)]) for number, bench in enumerate(benches))
            )
    report.grown += [
        f"{what} have become {now}, from {then}"
        for what, then, now in zip(("descriptors", "tasks", "threads"), before, resources(), strict=True)
        if now > then
    ]


async def _strike_all(bench: Bench, faults: list[Fault]) -> None:
    if faults:
        await bench.faults(faults[0].conversation, ())  # what is right on this board
    for fault in faults:
        await bench.strike(fault)


def resources() -> tuple[int, int, int]:
    """Open descriptors, tasks of this loop, and threads."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), threading.active_count()  # noqa: PTH208
