"""Sessions under policies, against a scripted board and on a virtual clock, see conftest.py."""

from __future__ import annotations

import asyncio
import io
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BoardWasReset,
    CircuitBreakerOptions,
    CircuitOpen,
    DeviceSession,
    Disconnected,
    ExecutionError,
    OutcomeUnknown,
    RateLimited,
    RateLimitOptions,
    RetryOptions,
    SessionTimeout,
    SettingsError,
)
from belay_py.session.guarded import bearable
from belay_py.testing import Forever, Lose, Pause, Raise, ScriptedBoard, SoftReset

if TYPE_CHECKING:
    from belay_py.testing import Answer


def now() -> float:
    return asyncio.get_running_loop().time()


class Script:
    """A board that does once what it is told to, and else answers ``done``; it notes when code began."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.began: list[float] = []
        self.board = ScriptedBoard(on_code=self._answer)

    def _answer(self, code: str) -> Answer:
        self.began.append(now())
        return self.answers.pop(0) if self.answers else "done"


async def connected(script: Script, **options: Any) -> DeviceSession:
    session = DeviceSession(script.board.port, **{"recovery_timeout": 0.5, **options})
    await session.connect()
    return session


RETRY = RetryOptions(max_attempts=3, delay=0.1)
BREAKER = CircuitBreakerOptions(failures=2, reset_after=30)


# -- retry ----------------------------------------------------------------------------------------------------------


async def test_what_is_idempotent_is_tried_again_when_the_board_restarts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script(SoftReset())
    session = await connected(script, retry=RETRY)
    with caplog.at_level(logging.INFO, "belay_py"):
        result = await session.execute("x", idempotent=True)
    assert result.output == "done"
    assert len(script.began) == 2
    assert session.statistics.operations == 2
    assert [record.levelname for record in caplog.records if "attempt 1 of 3" in record.getMessage()] == ["INFO"]


async def test_what_may_have_run_is_not_tried_again_without_the_callers_word() -> None:
    script = Script(Lose())
    session = await connected(script, retry=RETRY)
    with pytest.raises(OutcomeUnknown) as caught:
        await session.execute("x")
    assert len(script.began) == 1
    assert not hasattr(caught.value, "__notes__")


async def test_attempts_are_counted_in_a_note_and_end_with_their_number() -> None:
    script = Script(Lose())
    session = await connected(script, retry=RETRY)
    with pytest.raises(Disconnected) as caught:
        await session.execute("x", idempotent=True)
    assert caught.value.__notes__ == ["3 attempts were made; the code of one before the last may have run"]
    assert len(script.began) == 1, "nothing connects the session again"
    assert now() <= 0.1 + 0.2


async def test_the_outcome_of_the_last_error_speaks_of_all_attempts() -> None:
    session = await connected(Script(Lose()), retry=RETRY)
    with pytest.raises(Disconnected) as caught:
        await session.execute("x", idempotent=True)
    assert caught.value.outcome == "unknown", "the first attempt was lost while its code ran"
    with pytest.raises(Disconnected) as caught:
        await session.execute("x", idempotent=True)
    assert caught.value.outcome == "not_started", "of these three none has reached the board"
    assert caught.value.__notes__ == ["3 attempts were made"]
    assert Disconnected.outcome == "not_started"


async def test_an_exception_of_the_code_is_never_tried_again() -> None:
    script = Script(Raise("OSError", "5"))
    session = await connected(script, retry=RETRY)
    with pytest.raises(ExecutionError):
        await session.execute("x", idempotent=True)
    assert len(script.began) == 1


async def test_no_attempt_comes_after_the_deadline() -> None:
    script = Script(*[Forever()] * 9)
    session = await connected(script, retry=RetryOptions(max_attempts=9, delay=0))
    with pytest.raises(SessionTimeout):
        await session.execute("x", timeout=2, idempotent=True)
    assert len(script.began) == 1, "the first one had all of the time"


async def test_nobody_waits_for_an_attempt_beyond_the_deadline() -> None:
    session = await connected(Script(Lose()), retry=RetryOptions(max_attempts=99, delay=1000, max_delay=1000))
    with pytest.raises((OutcomeUnknown, Disconnected)):
        await session.execute("x", timeout=2, idempotent=True)
    assert now() < 2


async def test_input_that_is_used_up_is_not_asked_for_again() -> None:
    script = Script(SoftReset(), "1")
    session = await connected(script, retry=RETRY)
    with pytest.raises(BoardWasReset):
        await session.execute("x", idempotent=True, stdin=io.BytesIO(b"1"))
    assert len(script.began) == 1
    script = Script(SoftReset())
    session = await connected(script, retry=RETRY)
    await session.execute("x", idempotent=True, stdin=b"1")
    assert len(script.began) == 2


# -- the breaker ----------------------------------------------------------------------------------------------------


async def test_failures_in_a_row_open_the_circuit_and_a_trial_closes_it() -> None:
    script = Script(Forever(), Forever())
    session = await connected(script, circuit_breaker=BREAKER)
    for _ in range(2):
        assert session.is_healthy
        with pytest.raises(SessionTimeout):
            await session.execute("x", timeout=1)
    assert not session.is_healthy
    opened = now()
    await asyncio.sleep(10)
    with pytest.raises(CircuitOpen, match="left alone for another 20 s") as caught:
        await session.execute("x")
    assert caught.value.retry_after == pytest.approx(opened + 30 - now())
    assert len(script.began) == 2
    await asyncio.sleep(20)
    assert (await session.execute("x")).output == "done"
    assert session.is_healthy


async def test_exceptions_of_the_code_are_answers_of_the_board() -> None:
    script = Script(*[Raise("ValueError", "x")] * 5)
    session = await connected(script, circuit_breaker=BREAKER)
    for _ in range(5):
        with pytest.raises(ExecutionError):
            await session.execute("x")
    assert session.is_healthy


async def test_bugs_of_the_caller_say_nothing_of_the_board() -> None:
    session = await connected(Script(), circuit_breaker=BREAKER)
    for _ in range(5):
        with pytest.raises(SettingsError):
            await session.evaluate("1", returns=5)
    assert session.is_healthy


async def test_one_trial_at_a_time_and_a_cancelled_one_makes_room() -> None:
    script = Script(Forever(), Forever(), Forever())
    session = await connected(script, circuit_breaker=BREAKER)
    for _ in range(2):
        with pytest.raises(SessionTimeout):
            await session.execute("x", timeout=1)
    await asyncio.sleep(30)
    trial = asyncio.create_task(session.execute("x"))
    while len(script.began) < 3:
        await asyncio.sleep(0)
    with pytest.raises(CircuitOpen, match="one operation tries"):
        await session.execute("x")
    trial.cancel()
    await asyncio.wait([trial])
    assert (await session.execute("x")).output == "done"


async def test_a_trial_that_fails_opens_the_circuit_for_as_long_again() -> None:
    script = Script(Forever(), Forever(), Forever())
    session = await connected(script, circuit_breaker=BREAKER, operation_timeout=1)
    for _ in range(2):
        with pytest.raises(SessionTimeout):
            await session.execute("x")
    await asyncio.sleep(30)
    with pytest.raises(SessionTimeout):
        await session.execute("x")
    with pytest.raises(CircuitOpen, match="left alone for another 30 s"):
        await session.execute("x")
    await asyncio.sleep(30)
    assert (await session.execute("x")).output == "done"


async def test_a_trial_whose_consumer_never_comes_back_has_ended_with_its_first_output() -> None:
    script = Script(Forever())
    session = await connected(script, circuit_breaker=CircuitBreakerOptions(failures=1, reset_after=5))
    with pytest.raises(SessionTimeout):
        await session.execute("x", timeout=1)
    await asyncio.sleep(5)
    left = session.stream("x")
    assert await anext(left) == "done"
    assert session.is_healthy
    assert (await session.execute("x")).output == "done", "nobody has closed the stream"
    await left.aclose()


async def test_a_stream_that_ends_well_is_an_answer() -> None:
    script = Script(Forever(), "done", Forever())
    session = await connected(script, circuit_breaker=BREAKER, operation_timeout=1)
    with pytest.raises(SessionTimeout):
        await session.execute("x")
    assert [piece async for piece in session.stream("x")] == ["done"]
    with pytest.raises(SessionTimeout):
        await session.execute("x")
    assert session.is_healthy, "one failure in a row"


# -- the rate limit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["token_bucket", "fixed_window", "sliding_window"])
async def test_operations_wait_for_their_time_in_order(kind: Any) -> None:
    script = Script()
    limit = RateLimitOptions(kind=kind, operations=2, period=10, burst=2)
    session = await connected(script, rate_limit=limit, operation_timeout=100)
    await asyncio.gather(*(session.execute(f"{number}") for number in range(5)))
    expected = {"token_bucket": [0, 0, 5, 10, 15]}.get(kind, [0, 0, 10, 10, 20])
    assert script.began == expected


async def test_what_cannot_come_before_the_deadline_is_refused_at_once_and_costs_nothing() -> None:
    session = await connected(Script(), rate_limit=RateLimitOptions(operations=1, period=10))
    await session.execute("x")
    for _ in range(3):
        with pytest.raises(RateLimited, match="used up for 10 s, and the deadline comes before that") as caught:
            await session.execute("x", timeout=9)
        assert caught.value.retry_after == 10
    assert now() == 0
    await session.execute("x", timeout=11)
    assert now() == 10


async def test_whoever_does_not_want_to_wait_is_told_when_to_come_back() -> None:
    session = await connected(Script(), rate_limit=RateLimitOptions(operations=4, period=2, burst=1, wait=False))
    await session.execute("x")
    with pytest.raises(RateLimited, match="used up for 0.5 s; wait so long, or allow more") as caught:
        await session.execute("x")
    await asyncio.sleep(caught.value.retry_after)
    await session.execute("x")


async def test_a_cancelled_waiter_gives_its_time_back() -> None:
    script = Script()
    session = await connected(script, rate_limit=RateLimitOptions(operations=1, period=10))
    await session.execute("x")
    waiter = asyncio.create_task(session.execute("x", timeout=20))
    await asyncio.sleep(1)
    waiter.cancel()
    await asyncio.wait([waiter])
    await session.execute("x", timeout=20)
    assert script.began == [0, 10]


async def test_a_stream_counts_and_is_never_tried_again() -> None:
    script = Script("one", Lose())
    session = await connected(
        script, rate_limit=RateLimitOptions(operations=1, period=5), retry=RETRY, circuit_breaker=BREAKER
    )
    async with aclosing(session.stream("x")) as pieces:
        assert [piece async for piece in pieces] == ["one"]
    with pytest.raises(OutcomeUnknown):
        async with aclosing(session.stream("x")) as pieces:
            assert [piece async for piece in pieces] == []
    assert script.began == [0, 5]
    with pytest.raises(Disconnected):
        await anext(session.stream("x"))
    with pytest.raises(CircuitOpen):
        await anext(session.stream("x"))


@pytest.mark.parametrize(("round_trip", "expected"), [(0, 8000), (0.01, 80), (0.3, 2), (5, 1)])
async def test_a_rate_that_nobody_named_is_what_the_board_was_measured_to_bear(
    round_trip: float, expected: int
) -> None:
    assert bearable(1, round_trip) == expected
    script = Script()
    session = await connected(script, rate_limit=RateLimitOptions(wait=False))
    assert session.statistics.round_trip == 0, "a scripted board answers at once"
    session._standing.counters.round_trip = round_trip
    for _ in range(expected):
        await session.execute("x")
    with pytest.raises(RateLimited):
        await session.execute("x")


async def test_what_was_measured_anew_counts_from_the_next_connection_on() -> None:
    session = await connected(Script(), rate_limit=RateLimitOptions(wait=False, period=10))
    session._standing.counters.round_trip = 8.0
    await session.execute("x")
    with pytest.raises(RateLimited):
        await session.execute("x")
    session._standing.counters.round_trip = 4.0
    with pytest.raises(RateLimited):
        await session.execute("x")
    await session.reconnect()
    session._standing.counters.round_trip = 4.0
    for _ in range(2):
        await session.execute("x")
    with pytest.raises(RateLimited):
        await session.execute("x")


# -- their order ----------------------------------------------------------------------------------------------------


async def test_a_trial_that_is_cancelled_while_it_waits_for_its_rate_leaves_the_next_one_a_trial() -> None:
    script = Script(Forever())
    session = await connected(
        script,
        circuit_breaker=CircuitBreakerOptions(failures=1, reset_after=5),
        rate_limit=RateLimitOptions(operations=1, period=20),
        operation_timeout=1,
    )
    with pytest.raises(SessionTimeout):
        await session.execute("x")
    await asyncio.sleep(5)
    trial = asyncio.create_task(session.execute("x", timeout=100))
    await asyncio.sleep(1)
    with pytest.raises(CircuitOpen, match="while one operation tries"):
        await session.execute("x", timeout=100)
    trial.cancel()
    await asyncio.wait([trial])
    assert (await session.execute("x", timeout=100)).output == "done"
    assert session.is_healthy


async def test_each_attempt_counts_for_the_rate_and_for_the_breaker() -> None:
    script = Script(Lose())
    session = await connected(
        script,
        retry=RetryOptions(max_attempts=9, delay=0),
        rate_limit=RateLimitOptions(operations=1, period=7),
        circuit_breaker=CircuitBreakerOptions(failures=3),
        operation_timeout=100,
    )
    with pytest.raises(CircuitOpen) as caught:
        await session.execute("x", idempotent=True)
    assert now() == 14, "attempts at 0, 7 and 14; the fourth meets the open circuit before the rate limit"
    assert caught.value.__notes__ == ["4 attempts were made; the code of one before the last may have run"]


async def test_an_open_circuit_uses_up_no_rate() -> None:
    script = Script(Forever(), Forever())
    session = await connected(
        script,
        rate_limit=RateLimitOptions(kind="sliding_window", operations=3, period=1000),
        circuit_breaker=BREAKER,
        operation_timeout=1,
    )
    for _ in range(2):
        with pytest.raises(SessionTimeout):
            await session.execute("x")
    for _ in range(5):
        with pytest.raises(CircuitOpen):
            await session.execute("x")
    await asyncio.sleep(30)
    await session.execute("x")


async def test_a_circuit_that_opens_while_an_operation_waits_for_its_rate_keeps_it_out() -> None:
    script = Script(Pause(2), Forever())
    session = await connected(
        script,
        rate_limit=RateLimitOptions(operations=1, period=5),
        circuit_breaker=CircuitBreakerOptions(failures=1),
    )
    await session.execute("x")
    second = asyncio.create_task(session.execute("x", timeout=6))
    third = asyncio.create_task(session.execute("x", timeout=60))
    results = await asyncio.gather(second, third, return_exceptions=True)
    assert [type(result) for result in results] == [SessionTimeout, CircuitOpen]
    assert len(script.began) == 2


async def test_a_trial_that_the_rate_keeps_out_makes_room_for_another() -> None:
    session = await connected(
        Script(Forever()),
        rate_limit=RateLimitOptions(operations=1, period=40),
        circuit_breaker=CircuitBreakerOptions(failures=1),
    )
    with pytest.raises(SessionTimeout):
        await session.execute("x", timeout=1)
    await asyncio.sleep(31)
    for _ in range(2):
        with pytest.raises(RateLimited):
            await session.execute("x", timeout=2)
    await session.execute("x")
    assert session.is_healthy


async def test_waiting_for_the_rate_is_within_the_one_deadline() -> None:
    script = Script("done", Forever())
    session = await connected(script, rate_limit=RateLimitOptions(operations=1, period=5))
    await session.execute("x")
    with pytest.raises(SessionTimeout):
        await session.execute("x", timeout=7)
    assert script.began == [0, 5]
    assert now() == pytest.approx(7, abs=0.5)


async def test_sessions_without_policies_have_nothing_in_the_way() -> None:
    session = await connected(Script())
    assert session._guard is None
    assert (await session.execute("x", idempotent=True)).output == "done"
