"""A session under random operations that overlap, against a board that misbehaves, on a virtual clock.

A rule starts an operation as a task, lets time pass, or breaks something; after each, what must always hold is checked.
To add an operation, add a rule that calls `start`; harness.py has the rest.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from belay_py import (
    ExecutionResult,
    SessionClosed,
    SessionTimeout,
    ValueNotSupported,
)
from belay_py.testing import HardReset, SoftReset

from . import programs
from .harness import (
    CONNECTION_TIMEOUT,
    OF_CONNECT,
    OF_EXECUTE,
    OF_HARD_RESET,
    OF_SOFT_RESET,
    RECOVERY_TIMEOUT,
    TIMEOUTS,
    SessionHarness,
    State,
)


class SessionMachine(SessionHarness):
    """The rules."""

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
        self.start("settled", self.session.settled(), 3600, ())  # a hard reset of that length may be under way

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.calls))
        call.errors = (*call.errors, asyncio.CancelledError)
        call.task.cancel()

    # -- time ---------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.5, 3.0, 30.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.let_time_pass(seconds)

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
        self.restart_board(how)

    @rule(window=st.sampled_from([32, 64, 128]))
    def change_the_window(self, window: int) -> None:
        self.board.window = window

    @rule()
    def use_the_board_elsewhere(self) -> None:
        self.disturbed = True
        self.board.leave_raw()


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
