"""One fault after the other at every byte of every conversation, and the judgement of each.

A fault is armed at a byte of one direction; the conversation runs into it and must end within its deadline and
`GRACE`, in its one right way or with an error that fits the fault. Then the wire is whole again, and the *same* session
must get the right answer to its next execution, which also tells how often the conversation's code ran.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from belay_py import (
    BelayError,
    BoardWasReset,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    ExecutionError,
    OutcomeUnknown,
    SessionTimeout,
)
from belay_py.session.wire import LONGEST_CLOSE

from .adapter import Corrupt, Cut, Drop, Duplicate, FaultyWire, Stall
from .conversations import STREAMED, Conversation, WrongEnd, proof, read_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

State = DeviceSessionState
Direction = Literal["to_board", "from_board"]
Kind = Literal["cut", "stall", "drop", "corrupt", "duplicate"]

BREAKS: Final[tuple[Kind, ...]] = ("cut", "stall")
"""What ends the wire: no byte is ever altered."""
NOISE: Final[tuple[Kind, ...]] = ("drop", "corrupt", "duplicate")
"""What alters one byte."""
_FAULTS: Final[dict[Kind, Callable[[], object]]] = {
    "cut": Cut,
    "stall": Stall,
    "drop": Drop,
    "corrupt": lambda: Corrupt(0x01),
    "duplicate": Duplicate,
}
_PROMISED: Final[dict[Kind, tuple[type[BaseException], ...]]] = {
    "cut": (Disconnected, OutcomeUnknown),
    "stall": (SessionTimeout,),
}
_ENDED: Final = (State.CONNECTED, State.IDLE, State.ERROR, State.DISCONNECTED)


@dataclass(frozen=True)
class Limits:
    """Seconds for what is done while the wire fails, and for what must work."""

    breaking: float
    """The deadline of a conversation whose wire is cut, which tells its end by itself."""
    waiting: float
    """The deadline of any other."""
    connection: float
    recovery: float
    working: float = 60.0

    def grace(self) -> float:
        """How much later than its deadline a conversation may end: the recovery, and the closing of a port."""
        return self.recovery + LONGEST_CLOSE


@dataclass(frozen=True)
class Fault:
    """What happens to which byte, counted from the beginning of the conversation."""

    conversation: Conversation
    kind: Kind
    direction: Direction
    offset: int

    def __str__(self) -> str:
        return f"{self.conversation.name}: {self.kind} at byte {self.offset} {self.direction.replace('_', ' ')}"


@dataclass
class Report:
    """What became of all faults."""

    ends: dict[tuple[str, Kind], Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def count(self, fault: Fault, end: str) -> None:
        """Note how one ended."""
        self.ends.setdefault((fault.conversation.name, fault.kind), Counter())[end] += 1

    @property
    def total(self) -> int:
        """How many faults there were."""
        return sum(counter.total() for counter in self.ends.values())


class Bench:
    """One board behind a faulty wire, and the one session that meets all faults on it."""

    def __init__(self, wire: FaultyWire, limits: Limits, *, integrity: bool = False) -> None:
        self.wire = wire
        self.limits = limits
        self.integrity = integrity
        self.session = DeviceSession(
            wire.port, connection_timeout=limits.connection, recovery_timeout=limits.recovery
        )
        self._proofs = 0
        self._lengths: dict[str, tuple[int, int]] = {}
        self._right: dict[str, object] = {}

    async def faults(self, conversation: Conversation, kinds: Iterable[Kind]) -> Iterator[Fault]:
        """Run a conversation without a fault; return a fault for each kind and each byte of it."""
        await self.heal()
        await self.prove()
        await self._begin(conversation)
        begun = self._passed()
        outcome = await conversation.act(self.session, self.limits.working)
        ended = self._passed()
        if conversation.right is not None and outcome != conversation.right:
            raise WrongEnd(f"{conversation.name}, without any fault, ended in {outcome!r}")
        if await self.prove() != conversation.runs:
            raise WrongEnd(f"{conversation.name}, without any fault, has not run {conversation.runs} times")
        self._right[conversation.name] = outcome
        lengths = [ended[0] - begun[0], ended[1] - begun[1]]
        return (
            Fault(conversation, kind, direction, offset)
            for kind in kinds
            for direction, length in zip(("to_board", "from_board"), lengths, strict=True)
            for offset in range(length)
        )

    async def strike(self, fault: Fault, report: Report) -> None:
        """Let one fault happen, judge what it does, and prove that the session works afterwards."""
        conversation, wire, limits = fault.conversation, self.wire, self.limits
        await self._begin(conversation)
        line = getattr(wire, fault.direction)
        line.at(line.passed + fault.offset, _FAULTS[fault.kind]())
        limit = limits.breaking if fault.kind == "cut" else limits.waiting
        longest = (limits.connection if conversation.name == "connect" else limit) + limits.grace()
        error: BaseException | None = None
        outcome: object = None
        try:
            async with asyncio.timeout(longest):
                outcome = await conversation.act(self.session, limit)
        except TimeoutError as late:
            error = late
        except Exception as raised:  # noqa: BLE001  any that is not ours is what the campaign looks for
            error = raised
        try:
            end = self._judge(fault, outcome, error)
            runs = await self._mend(fault)
            self._judge_runs(fault, end, error, runs)
        except WrongEnd as wrong:
            report.failures.append(f"{fault}: {wrong}")
            end = "WRONG"
            await self.heal()
            with contextlib.suppress(WrongEnd):
                await self.prove()
        report.count(fault, end)

    # -- judging ------------------------------------------------------------------------------------------------

    def _judge(self, fault: Fault, outcome: object, error: BaseException | None) -> str:
        name, broken = fault.conversation.name, fault.kind in BREAKS
        if isinstance(error, TimeoutError) and not isinstance(error, BelayError):
            raise WrongEnd("it had not ended when its deadline and the grace were over")
        if self.session.state not in _ENDED:
            raise WrongEnd(f"it ended, and the session is {self.session.state.name}")
        if error is None:
            if outcome == self._right[name]:
                return "right"
            if broken or self.integrity:
                raise WrongEnd(f"a wrong result: {outcome!r}")
            return "wrong result"
        if not isinstance(error, BelayError):
            raise WrongEnd(f"a foreign exception: {error!r}") from error
        # What a device's exception says is the device's affair.
        if not isinstance(error, ExecutionError) and (not str(error) or "\n" in str(error)):
            raise WrongEnd(f"its message is not one line: {error!r}")
        if isinstance(error, SessionTimeout) and error.recovered != self._usable:
            raise WrongEnd(f"recovered is {error.recovered}, and the session is {self.session.state.name}")
        streamed = getattr(error, "streamed", "")
        if not STREAMED.get(name, "").startswith(streamed):
            if broken or self.integrity:
                raise WrongEnd(f"wrong output was streamed: {streamed!r}")
            return "wrong result"
        if isinstance(error, ExecutionError):
            if broken or self.integrity:
                raise WrongEnd(f"a wrong exception of the device: {error!r}")
            return "wrong result"
        promised = (ConnectionFailed,) if name == "connect" else _PROMISED.get(fault.kind, (BelayError,))
        if not isinstance(error, promised):
            raise WrongEnd(f"not the right error: {error!r}") from error
        outcome_told = getattr(error, "outcome", None)
        return type(error).__name__ + (", not started" if outcome_told == "not_started" and name != "connect" else "")

    def _judge_runs(self, fault: Fault, end: str, error: BaseException | None, runs: int | None) -> None:
        exact = fault.kind in BREAKS or self.integrity
        expected = fault.conversation.runs
        if runs is None:
            if exact:
                raise WrongEnd("the board's interpreter has restarted")
        elif getattr(error, "outcome", None) == "not_started" and runs:
            raise WrongEnd(f"the code ran {runs} times, and {error!r} says that it did not")
        elif exact and (runs > expected or (error is None and runs != expected)):
            raise WrongEnd(f"the code ran {runs} times: {end}")

    # -- before and after a fault -------------------------------------------------------------------------------

    async def _begin(self, conversation: Conversation) -> None:
        if conversation.begin is not None:
            await conversation.begin(self.session)

    async def _mend(self, fault: Fault) -> int | None:
        """After a fault: make the wire whole if it was broken, and return how often the code ran."""
        if fault.kind in BREAKS:
            if fault.kind == "cut" and self.wire.is_cut:
                await self.session.wait_for_state(State.DISCONNECTED, State.ERROR, timeout=self.limits.working)
            await self.heal()
        elif not self._usable:
            await self.connect()
        try:
            return await self.prove()
        except BoardWasReset:
            if fault.kind in BREAKS:
                raise WrongEnd("the board was reset") from None
            return await self.prove()
        except BelayError as error:
            raise WrongEnd(f"the next execution failed: {error!r}") from error

    async def heal(self) -> None:
        """Make the wire whole, and connect anew, whatever the session believes."""
        self.wire.replug()
        await self.connect()

    async def connect(self) -> None:
        """Connect anew."""
        try:
            await self.session.reconnect(timeout=self.limits.working)
        except BelayError as error:
            raise WrongEnd(f"it could not connect again: {error!r}") from error

    async def prove(self) -> int | None:
        """Run the next execution; return how often other code ran since the latest one. Raises `WrongEnd`."""
        self._proofs += 1
        code = proof(self._proofs)
        result = await self.session.execute(code, timeout=self.limits.working)
        return read_proof(result.output, self._proofs)

    @property
    def _usable(self) -> bool:
        return self.session.state in (State.CONNECTED, State.IDLE)

    def _passed(self) -> tuple[int, int]:
        return self.wire.to_board.passed, self.wire.from_board.passed


def resources() -> tuple[int, int, int]:
    """Open descriptors, tasks of this loop, and threads."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), threading.active_count()  # noqa: PTH208
