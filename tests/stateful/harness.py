"""What every state machine over a session needs: its world, how operations are started, and what must always hold."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from belay_py import (
    BoardWasReset,
    CommunicationOptions,
    ConnectionFailed,
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    ExecutionError,
    ExecutionResult,
    IllegalTransition,
    Interrupted,
    OutcomeUnknown,
    ProtocolViolation,
    SessionClosed,
    SessionTimeout,
)
from belay_py.events import SessionEvent, StateChanged
from belay_py.lifecycle import TRANSITIONS
from belay_py.testing import Answer, HardReset, ScriptedBoard, SoftReset, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from . import programs

State = DeviceSessionState
LEGAL = {(source, target) for _, sources, target in TRANSITIONS for source in sources}
RECOVERY_TIMEOUT = 2.0
CONNECTION_TIMEOUT = 10.0
TIMEOUTS = st.sampled_from([0.0, 0.05, 1.0, 5.0, 3600.0])

# What the docstrings promise.
OF_EXECUTE = (
    ExecutionError,
    SessionTimeout,
    Interrupted,
    BoardWasReset,
    Disconnected,
    OutcomeUnknown,
    ProtocolViolation,
    SessionClosed,
)
OF_CONNECT = (DeviceNotFound, DeviceBusy, ConnectionFailed, IllegalTransition, SessionClosed, SessionTimeout)
OF_HARD_RESET = (*OF_CONNECT, SessionTimeout, ExecutionError, ProtocolViolation, Disconnected, Interrupted)
OF_SOFT_RESET = (SessionTimeout, OutcomeUnknown, SessionClosed, Disconnected, Interrupted, BoardWasReset)


@dataclass
class Call:
    """An operation that was started, and what must become of it."""

    name: str
    task: asyncio.Task[Any]
    latest_end: float
    errors: tuple[type[BaseException], ...]
    code: str = ""
    ended: float | None = None


class SessionHarness(RuleBasedStateMachine):
    """One board on a virtual clock, one session after another, and the operations that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualClock)
        self.loop = self.runner.get_loop()
        self.board = ScriptedBoard(on_code=self.on_code)
        self.programs: dict[str, programs.Program] = {}
        self.calls: list[Call] = []
        self.changes: list[tuple[State, State]] = []
        self.disturbed = False
        self.renew()

    def renew(self) -> None:
        self.session = DeviceSession(
            self.board.port,
            recovery_timeout=RECOVERY_TIMEOUT,
            connection_timeout=CONNECTION_TIMEOUT,
            operation_timeout=5,
            communication=CommunicationOptions(pace=0.05),
        )
        self.session.subscribe(self.on_event)

    def on_event(self, event: SessionEvent) -> None:
        if isinstance(event, StateChanged):
            self.changes.append((event.old, event.new))

    def on_code(self, code: str) -> Answer:
        return self.programs[code]() if code in self.programs else None

    def start(
        self,
        name: str,
        operation: Coroutine[Any, Any, Any],
        timeout: float,
        errors: tuple[type[BaseException], ...],
        code: str = "",
    ) -> None:
        now = self.loop.time()
        call = Call(name, self.loop.create_task(operation), now + timeout + RECOVERY_TIMEOUT, errors, code)
        call.task.add_done_callback(lambda _: setattr(call, "ended", self.loop.time()))
        self.calls.append(call)

    def add(self, program: programs.Program, *, length: int = 0) -> str:
        """Make a program that no other execution has."""
        code = f"program_{len(self.programs)}" + "\nlonger" * length
        self.programs[code] = program
        return code

    def turns(self, count: int) -> None:
        async def turn() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def let_time_pass(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def restart_board(self, how: SoftReset | HardReset) -> None:
        async def restart() -> None:
            self.board.restart(how)

        self.loop.run_until_complete(restart())

    # -- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def every_change_of_state_is_a_legal_one(self) -> None:
        assert {change for change in self.changes if change not in LEGAL} == set()

    @invariant()
    def nothing_runs_twice(self) -> None:
        codes = [execution.code for execution in self.board.executions if execution.code in self.programs]
        assert len(codes) == len(set(codes))

    @invariant()
    def calls_end_in_time_and_tell_the_truth(self) -> None:
        for call in list(self.calls):
            if call.ended is None:
                assert self.loop.time() <= call.latest_end + 0.001, f"{call.name} has not ended"
            else:
                assert call.ended <= call.latest_end + 0.001, f"{call.name} ended late"
                self.calls.remove(call)
                self.check(call)

    def check(self, call: Call) -> None:
        error = asyncio.CancelledError() if call.task.cancelled() else call.task.exception()
        if error is not None:
            assert isinstance(error, call.errors), f"{call.name} raised {error!r}"
            assert str(error) or isinstance(error, asyncio.CancelledError)
            own = isinstance(error, ExecutionError) and error.type == "NameError"  # no program raises one
            assert not own, "an exception of our own line was taken for the program's"
        if not call.code:
            return
        ran = [execution for execution in self.board.executions if execution.code == call.code]
        if getattr(error, "outcome", "unknown") == "not_started":
            assert not ran, f"{call.name} ran, and {error!r} says that it did not"
        if self.disturbed or (ran and ran[0].ended == "instead"):
            return
        if error is None:
            [execution] = ran
            result = call.task.result()
            if isinstance(result, ExecutionResult):
                assert execution.ended == "done"
                assert result.output_bytes == execution.output
            else:
                assert execution.output.startswith(result)
        elif isinstance(error, ExecutionError):
            [execution] = ran
            assert execution.ended in ("raised", "interrupted")
            assert call.name == "stream" or error.output_bytes == execution.output

    # -- the end ------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self.come_to_an_end()
        finally:
            self.runner.close()

    def come_to_an_end(self) -> None:
        self.let_time_pass(10_000)
        self.calls_end_in_time_and_tell_the_truth()
        assert not self.calls
        self.nothing_runs_twice()
        session = self.session
        assert session.state not in (State.CONNECTING, State.ACTIVE, State.DISCONNECTING)
        if session.state in (State.ERROR, State.DISCONNECTED):
            with pytest.raises((SessionClosed, Disconnected)) as caught:
                self.loop.run_until_complete(session.execute("after the end"))
            assert " ()" not in str(caught.value)  # the reason stands there
        if session.state is not State.DISPOSED:
            self.heal()
            self.loop.run_until_complete(self.use(session))
        self.every_change_of_state_is_a_legal_one()
        self.loop.run_until_complete(session.close())
        assert session.state is State.DISPOSED
        assert not self.board.connected
        assert asyncio.all_tasks(self.loop) == set()

    def heal(self) -> None:
        self.board.silent = False
        self.board.resume()
        self.board.away = None
        self.restart_board(HardReset())
        self.turns(3)
        self.disturbed = False

    async def use(self, session: DeviceSession) -> None:
        """With a sound board a session is usable: at once, or after one failure that tells why."""
        code = self.add(lambda: b"usable")
        try:
            await session.connect()
            assert (await session.execute(code)).output == "usable"
        except (BoardWasReset, ProtocolViolation):  # `nothing_runs_twice` looks at whether it ran
            assert (await session.execute(code)).output == "usable"
