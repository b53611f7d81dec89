"""A session under random operations that overlap, against a board that misbehaves, on a virtual clock.

A rule starts an operation as a task, lets time pass, or breaks something; after each, what must always hold is checked.
To add an operation, add a rule that calls `start`.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
    ValueNotSupported,
)
from belay_py.events import SessionEvent, StateChanged
from belay_py.lifecycle import TRANSITIONS
from belay_py.testing import Answer, HardReset, ScriptedBoard, SoftReset, VirtualClock

from . import programs

if TYPE_CHECKING:
    from collections.abc import Coroutine

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


class SessionMachine(RuleBasedStateMachine):
    """One board, and one session after another."""

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

    @initialize(
        raw_paste=st.sampled_from(["supported", "supported", "refused", "unknown"]),
        window=st.sampled_from([32, 128]),
        chunks=st.sampled_from([0, 0, 1, 3]),
        away=st.sampled_from([None, 1.5]),
    )
    def choose_a_board(self, raw_paste: Any, window: int, chunks: int, away: float | None) -> None:
        self.board.away = away
        self.board.raw_paste, self.board.window, self.board.chunks = raw_paste, window, chunks
        self.get_ready()

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

    # -- operations ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.out_of_order)
    @rule()
    def get_ready(self) -> None:
        """Make everything sound again, with another session if this one is closed; else most calls would be refused."""
        self.let_time_pass(10_000)
        self.calls_end_in_time_and_tell_the_truth()
        assert not self.calls
        if self.session.state is State.DISPOSED:
            self.renew()
        self.heal()
        self.loop.run_until_complete(self.use(self.session))

    @property
    def out_of_order(self) -> bool:
        return (
            self.disturbed or self.board.silent or self.session.state not in (State.CONNECTED, State.ACTIVE, State.IDLE)
        )

    @rule()
    def connect(self) -> None:
        self.start("connect", self.session.connect(), CONNECTION_TIMEOUT, OF_CONNECT)

    @rule(timeout=TIMEOUTS)
    def reconnect(self, timeout: float) -> None:
        self.start("reconnect", self.session.reconnect(timeout=timeout), timeout, OF_CONNECT)

    @rule(how=st.sampled_from(["disconnect", "disconnect", "close"]), really=st.integers(0, 3))
    def end(self, how: str, really: int) -> None:
        if not really:  # else most of what follows would be refused
            self.start(how, getattr(self.session, how)(), 0, ())

    @rule(program=programs.ANY, timeout=TIMEOUTS, length=st.sampled_from([0, 0, 0, 100]))
    def execute(self, program: programs.Program, timeout: float, length: int) -> None:
        code = self.add(program, length=length)
        self.start("execute", self.session.execute(code, timeout=timeout), timeout, OF_EXECUTE, code)

    @rule(program=programs.WELL_BEHAVED)
    def execute_and_wait(self, program: programs.Program) -> None:
        self.execute(program, 5.0, 0)
        self.turns(10)

    @rule()
    def evaluate(self) -> None:
        # The board knows no Python: what comes is an error, and never somebody else's output.
        self.start("evaluate", self.session.evaluate("1"), 5, (*OF_EXECUTE, ValueNotSupported))

    @rule(
        program=programs.ANY, timeout=TIMEOUTS, pieces=st.sampled_from([1, 2, 1000]), idle=st.sampled_from([None, 1.0])
    )
    def stream(self, program: programs.Program, timeout: float, pieces: int, idle: float | None) -> None:
        code = self.add(program)

        async def consume() -> bytes:
            taken = []
            async with aclosing(self.session.stream(code, timeout=timeout, idle_timeout=idle, mode="bytes")) as chunks:
                async for chunk in chunks:
                    taken.append(chunk)
                    if len(taken) == pieces:
                        break
            return b"".join(taken)

        self.start("stream", consume(), timeout, OF_EXECUTE, code)

    @rule(program=programs.WELL_BEHAVED, stdin=st.sampled_from([b"", b"x\r", "y\n" * 300]))
    def execute_with_stdin(self, program: programs.Program, stdin: bytes | str) -> None:
        code = self.add(program)
        self.start("stdin", self.session.execute(code, timeout=5, stdin=stdin), 5, OF_EXECUTE, code)

    @rule(program=programs.ANY, timeout=TIMEOUTS)
    def execute_exclusively(self, program: programs.Program, timeout: float) -> None:
        code = self.add(program)

        async def alone() -> ExecutionResult:
            async with self.session.exclusive(timeout=timeout) as session:
                await session.execute(code, timeout=timeout)
                ran = len(self.board.executions)
                await asyncio.sleep(0.1)
                assert len(self.board.executions) == ran, "somebody came in between"
                return await session.execute(self.add(lambda: b"second"), timeout=timeout)

        self.start("exclusive", alone(), 3 * (timeout + RECOVERY_TIMEOUT) + 0.1, OF_EXECUTE)

    @rule(timeout=TIMEOUTS)
    def interrupt(self, timeout: float) -> None:
        self.start("interrupt", self.session.interrupt(timeout=timeout), timeout, (SessionTimeout,))

    @rule(timeout=TIMEOUTS)
    def soft_reset(self, timeout: float) -> None:
        self.start("soft_reset", self.session.soft_reset(timeout=timeout), timeout, OF_SOFT_RESET)

    @rule(timeout=TIMEOUTS)
    def hard_reset(self, timeout: float) -> None:
        self.start("hard_reset", self.session.hard_reset(timeout=timeout), timeout, OF_HARD_RESET)

    @rule(states=st.sets(st.sampled_from(State), min_size=1, max_size=3), timeout=TIMEOUTS)
    def wait_for_state(self, states: set[State], timeout: float) -> None:
        waiting = self.session.wait_for_state(*states, timeout=timeout)
        self.start("wait_for_state", waiting, timeout, (SessionTimeout, SessionClosed))

    @rule()
    def settled(self) -> None:
        self.start("settled", self.session.settled(), 0, ())

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.calls))
        call.errors = (*call.errors, asyncio.CancelledError)
        call.task.cancel()

    # -- time ---------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.5, 3.0, 30.0, 4000.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule(count=st.integers(1, 5))
    def let_turns_pass(self, count: int) -> None:
        self.turns(count)

    # -- faults -------------------------------------------------------------------------------------------------

    @rule()
    def lose_the_link(self) -> None:
        self.board.lose("pulled")

    @rule(noise=programs.OUTPUT)
    def make_noise(self, noise: bytes) -> None:
        self.disturbed = True
        self.board.send(noise)

    @rule()
    def hang(self) -> None:
        self.board.silent = True

    @rule()
    def wake(self) -> None:
        self.board.silent = False
        self.board.resume()

    @rule(how=st.sampled_from([SoftReset(), HardReset()]), away=st.sampled_from([None, None, 0.5]))
    def restart(self, how: SoftReset | HardReset, away: float | None) -> None:
        self.disturbed = True
        self.board.resume()
        self.board.away = away
        self.restart_in_loop(how)

    def restart_in_loop(self, how: SoftReset | HardReset) -> None:
        async def restart() -> None:
            self.board.restart(how)

        self.loop.run_until_complete(restart())

    @rule(window=st.sampled_from([32, 64, 128]))
    def change_the_window(self, window: int) -> None:
        self.board.window = window

    @rule()
    def use_the_board_elsewhere(self) -> None:
        self.disturbed = True
        self.board.leave_raw()

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
        self.wake()
        self.board.away = None
        self.restart_in_loop(HardReset())
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


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
