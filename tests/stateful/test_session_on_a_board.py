"""A session under random operations on real MicroPython, in real time. A model knows the board's counter."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from belay_py import BoardWasReset, DeviceSession, DeviceSessionState, ExecutionError, Interrupted, SessionTimeout

from .programs import OUTPUT

if TYPE_CHECKING:
    from collections.abc import Coroutine

State = DeviceSessionState
WRITE = "import sys\nsys.stdout.buffer.write({!r})"


def machine(port: str) -> type[RuleBasedStateMachine]:
    """The machine for one board."""

    class SessionOnABoard(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.session = DeviceSession(port)
            self.run(self.session.connect())
            self.run(self.session.soft_reset())
            self.counter: int | None = None
            self.epoch = self.session.boot_epoch

        def run(self, operation: Coroutine[Any, Any, Any]) -> Any:
            return self.runner.run(operation)

        def restarted(self) -> None:
            self.counter = None
            self.epoch += 1

        @rule()
        def count(self) -> None:
            code = "n = 0\nprint(n)" if self.counter is None else "n += 1\nprint(n)"
            self.counter = 0 if self.counter is None else self.counter + 1
            assert self.run(self.session.execute(code)).output == f"{self.counter}\n"

        @rule(output=OUTPUT)
        def write(self, output: bytes) -> None:
            assert self.run(self.session.execute(WRITE.format(output))).output_bytes == output

        @rule(output=OUTPUT)
        def write_and_raise(self, output: bytes) -> None:
            with pytest.raises(ExecutionError, match="ValueError: bad") as caught:
                self.run(self.session.execute(WRITE.format(output) + "\nraise ValueError('bad')"))
            assert caught.value.output_bytes == output

        @rule(output=OUTPUT)
        def write_and_exit(self, output: bytes) -> None:
            with pytest.raises(BoardWasReset) as caught:
                self.run(self.session.execute(WRITE.format(output) + "\nraise SystemExit"))
            assert caught.value.output_bytes == output
            self.restarted()

        @rule(output=OUTPUT)
        def stream(self, output: bytes) -> None:
            async def read() -> bytes:
                return b"".join([piece async for piece in self.session.stream(WRITE.format(output), mode="bytes")])

            assert self.run(read()) == output

        @rule()
        def leave_a_stream(self) -> None:
            async def read() -> None:
                async with aclosing(self.session.stream("while True: print('again')")) as stream:
                    assert (await anext(stream)).startswith("a")

            self.run(read())

        @rule(code=st.sampled_from(["while True: pass", "while True: print('again')"]))
        def run_into_a_deadline(self, code: str) -> None:
            with pytest.raises(SessionTimeout) as caught:
                self.run(self.session.execute(code, timeout=0.05))
            assert caught.value.recovered

        @rule(turns=st.integers(0, 12))
        def cancel(self, turns: int) -> None:
            async def start_and_cancel() -> None:
                task = asyncio.create_task(self.session.execute("while True: print('again')"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

            self.run(start_and_cancel())

        @rule(code=st.sampled_from(["while True: pass", "while True: print('again')"]))
        def interrupt(self, code: str) -> None:
            async def start_and_interrupt() -> None:
                task = asyncio.create_task(self.session.execute(code))
                while not await self.session.interrupt():
                    await asyncio.sleep(0)
                with pytest.raises(Interrupted):
                    await task

            self.run(start_and_interrupt())

        @rule()
        def soft_reset(self) -> None:
            self.run(self.session.soft_reset())
            self.restarted()

        @rule(how=st.sampled_from(["reconnect", "disconnect"]))
        def connect_anew(self, how: str) -> None:
            self.run(getattr(self.session, how)())
            self.run(self.session.connect())

        @rule(output=OUTPUT)
        def two_at_once(self, output: bytes) -> None:
            async def both() -> list[bytes]:
                codes = (WRITE.format(output), WRITE.format(output[::-1]))
                results = await asyncio.gather(*(self.session.execute(code) for code in codes))
                return [result.output_bytes for result in results]

            assert self.run(both()) == [output, output[::-1]]

        @invariant()
        def it_is_ready_and_knows_the_boards_life(self) -> None:
            self.run(self.session.settled())
            assert self.session.state in (State.CONNECTED, State.IDLE)
            assert self.session.boot_epoch == self.epoch

        def teardown(self) -> None:
            self.run(self.session.close())
            self.runner.close()

    return SessionOnABoard


def test_random_operations(port: str) -> None:
    run_state_machine_as_test(
        machine(port),
        settings=settings(
            max_examples=15,
            stateful_step_count=15,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
