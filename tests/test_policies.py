"""The policies as functions of time and chance. Times are fractions, so that no rounding hides a mistake."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from belay_py import errors
from belay_py.policies import CircuitBreaker, FixedWindow, SlidingWindow, TokenBucket, backoff, may_retry, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

Time = Any  # a Fraction where the policies say float

FRACTIONS = st.builds(Fraction, st.integers(0, 200), st.sampled_from([1, 3, 7, 8]))
PERIODS = st.builds(Fraction, st.integers(1, 60), st.sampled_from([1, 3, 7, 8]))
STEPS = st.lists(st.tuples(FRACTIONS, st.booleans(), st.integers(0, 50)), max_size=60)
"""Time that passes before a reservation, whether one of those that wait is given back, and which."""


def begins_after(limit: Any, steps: list[tuple[Fraction, bool, int]]) -> list[Time]:
    """Reserve and give back; return when the operations begin that do. Holds the order of reservations."""
    now: Time = Fraction(0)
    begins: list[Time] = []
    latest: Time = now
    for passed, gives_back, which in steps:
        now += passed / 10
        begin = limit.reserve(now)
        assert begin >= now
        assert begin >= max((other for other in begins if other > now), default=now), "somebody was overtaken"
        latest = max(latest, begin)
        begins.append(begin)
        waiting = [other for other in begins if other > now]
        if gives_back and waiting:
            unwanted = waiting[which % len(waiting)]
            begins.remove(unwanted)
            limit.give_back(unwanted)
    return sorted(begins)


@given(st.integers(1, 5), PERIODS, STEPS)
def test_no_fixed_window_holds_more_than_its_limit(operations: int, period: Time, steps: Any) -> None:
    begins = begins_after(FixedWindow(operations, period), steps)
    windows = [begin // period for begin in begins]
    assert all(windows.count(window) <= operations for window in windows)


@given(st.integers(1, 5), PERIODS, STEPS)
def test_no_stretch_of_a_period_holds_more_than_the_sliding_limit(operations: int, period: Time, steps: Any) -> None:
    begins = begins_after(SlidingWindow(operations, period), steps)
    for first, last in zip(begins, begins[operations:], strict=False):
        assert last - first >= period


@given(st.integers(1, 5), st.integers(1, 6), PERIODS, STEPS)
def test_a_bucket_never_gives_more_than_burst_and_rate(operations: int, burst: int, period: Time, steps: Any) -> None:
    begins = begins_after(TokenBucket(operations, period, burst), steps)
    for first in range(len(begins)):
        for last in range(first, len(begins)):
            earned = (begins[last] - begins[first]) * operations / period
            assert last - first + 1 <= burst + earned


LIMITS: list[Callable[[int, Time], Any]] = [
    FixedWindow,
    SlidingWindow,
    lambda operations, period: TokenBucket(operations, period, 1),
]


@pytest.mark.parametrize("make", LIMITS, ids=["fixed", "sliding", "bucket"])
@given(operations=st.integers(1, 5), period=PERIODS, count=st.integers(1, 40))
def test_whoever_always_asks_gets_the_whole_rate(
    make: Callable[[int, Time], Any], operations: int, period: Time, count: int
) -> None:
    limit = make(operations, period)
    begins = [limit.reserve(Fraction(0)) for _ in range(count * operations + 1)]
    assert begins[-1] == count * period
    assert begins == sorted(begins)


@pytest.mark.parametrize("make", LIMITS, ids=["fixed", "sliding", "bucket"])
@given(operations=st.integers(1, 5), period=PERIODS, order=st.permutations(range(12)))
def test_what_all_give_back_costs_the_next_one_nothing(
    make: Callable[[int, Time], Any], operations: int, period: Time, order: list[int]
) -> None:
    limit, other = make(operations, period), make(operations, period)
    while (first := limit.reserve(Fraction(0))) == 0:
        other.reserve(Fraction(0))
    waiting = [first, *(limit.reserve(Fraction(0)) for _ in range(11))]
    for which in order:
        limit.give_back(waiting[which])
    assert limit.reserve(Fraction(0)) == other.reserve(Fraction(0))


@pytest.mark.parametrize("limit", [FixedWindow(2, 10), SlidingWindow(2, 10), TokenBucket(2, 10, 3)], ids=type)
def test_times_that_were_given_back_are_not_for_those_who_ask_later(limit: Any) -> None:
    waiting = [begin for begin in [limit.reserve(0) for _ in range(8)] if begin > 0]
    for begin in waiting[:-1]:
        limit.give_back(begin)
    assert limit.reserve(0) >= waiting[-1]


def test_a_reservation_that_was_used_cannot_be_given_back() -> None:
    bucket = TokenBucket(1, 1.0, 1)
    assert bucket.reserve(0.0) == 0.0
    bucket.give_back(0.0)
    assert bucket.reserve(0.0) == 1.0


def test_a_bucket_that_rested_lets_a_burst_pass_and_no_more() -> None:
    bucket = TokenBucket(10, 1.0, 3)
    for now in (0.0, 100.0):
        assert [bucket.reserve(now) for _ in range(3)] == [now] * 3
        assert bucket.reserve(now) == pytest.approx(now + 0.1)
        bucket.give_back(bucket.reserve(now))


@given(st.integers(0, 10_000), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_a_backoff_stays_in_its_bounds(attempt: int, base: float, cap: float, chance: float) -> None:
    delay = backoff(attempt, base, cap, lambda: chance)
    assert 0 <= delay <= cap
    if attempt < 50:
        assert delay <= base * 2**attempt


def test_backoffs_are_spread_over_the_whole_of_their_time() -> None:
    chance = random.Random(1).random
    delays = [backoff(3, 0.1, 60, chance) for _ in range(2000)]
    assert min(delays) < 0.01
    assert max(delays) > 0.79
    assert sum(delays) / len(delays) == pytest.approx(0.4, rel=0.05)
    assert backoff(30, 0.1, 5, lambda: 0.5) == 2.5


class Breaker(RuleBasedStateMachine):
    """A circuit breaker beside a plain model of it; any number of operations are under way."""

    @initialize(failures=st.integers(1, 4), reset_after=st.integers(1, 20))
    def make(self, failures: int, reset_after: int) -> None:
        self.breaker = CircuitBreaker(failures, reset_after)
        self.failures, self.reset_after = failures, reset_after
        self.now = 0
        self.tickets: list[tuple[int, int]] = []
        """Under way: the ticket, and the model's era in which it was given."""
        self.era = 0
        self.in_a_row = 0
        self.opened: int | None = None
        self.trial = False

    @rule(seconds=st.integers(0, 15))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def begin(self) -> None:
        ticket = self.breaker.begin(self.now)
        if self.opened is None:
            assert ticket is not None
        elif self.trial or self.now < self.opened + self.reset_after:
            assert ticket is None
        else:
            assert ticket is not None
            self.trial = True
            self.era += 1
        if ticket is not None:
            self.tickets.append((ticket, self.era))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def end(self, data: st.DataObject, how: str) -> None:
        ticket, era = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        assert self.breaker.knows(ticket) is (era == self.era)
        getattr(self.breaker, how)(ticket, *([self.now] if how == "failed" else []))
        if era != self.era:
            return
        if how == "succeeded":
            self.in_a_row = 0
            if self.trial:
                self.opened, self.trial, self.era = None, False, self.era + 1
        elif how == "failed":
            self.in_a_row += 1
            if self.trial or self.in_a_row == self.failures:
                self.opened, self.trial, self.era, self.in_a_row = self.now, False, self.era + 1, 0
        elif self.trial:
            self.trial, self.era = False, self.era + 1

    @invariant()
    def tells_its_state(self) -> None:
        if not hasattr(self, "breaker"):
            return
        expected = "closed" if self.opened is None else "half-open" if self.trial else "open"
        assert self.breaker.state == expected
        left = 0 if self.opened is None else max(0, self.opened + self.reset_after - self.now)
        assert self.breaker.retry_after(self.now) == left


TestBreaker = Breaker.TestCase

NOT_STARTED: list[errors.BelayError] = [
    errors.Disconnected("x"),
    errors.DeviceBusy("x"),
    errors.SessionTimeout("x", outcome="not_started"),
    errors.ProtocolViolation("x", outcome="not_started"),
]
MAY_HAVE_RUN: list[errors.BelayError] = [
    errors.OutcomeUnknown("x"),
    errors.SessionTimeout("x"),
    errors.ProtocolViolation("x"),
    errors.BoardWasReset("x"),
    errors.BoardWasReset("x", outcome="not_started"),
]
NEVER: list[BaseException] = [
    errors.ExecutionError("ValueError", "x", "x"),
    errors.CodeTooLarge("x", "x", size=1, heap=1, outcome="not_started"),
    errors.SettingsError("x"),
    errors.IllegalTransition("x"),
    errors.InvalidCode("x"),
    errors.SessionClosed("x"),
    errors.Interrupted("x"),
    errors.UnexpectedValue("x"),
    errors.CircuitOpen("x"),
    errors.RateLimited("x"),
    errors.TooManyWaiters("x"),
    errors.IdentityChanged("x", expected="1", found="2"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", NOT_STARTED, ids=repr)
def test_what_did_not_start_may_be_tried_again(error: BaseException) -> None:
    assert may_retry(error, idempotent=False)
    assert may_retry(error, idempotent=True)


@pytest.mark.parametrize("error", MAY_HAVE_RUN, ids=repr)
def test_what_may_have_run_is_tried_again_only_on_the_callers_word(error: BaseException) -> None:
    assert not may_retry(error, idempotent=False)
    assert may_retry(error, idempotent=True)


@pytest.mark.parametrize("error", NEVER, ids=repr)
def test_some_are_never_tried_again(error: BaseException) -> None:
    assert not may_retry(error, idempotent=False)
    assert not may_retry(error, idempotent=True)


def test_what_an_error_says_of_the_board() -> None:
    said = {True: [], False: [], None: []}  # type: dict[bool | None, list[BaseException]]
    for error in (*NOT_STARTED, *MAY_HAVE_RUN, *NEVER, errors.ConnectionFailed("x"), errors.DeviceNotFound("x")):
        said[verdict(error)].append(error)
    assert {type(error) for error in said[True]} == {errors.ExecutionError, errors.CodeTooLarge, errors.UnexpectedValue}
    assert {type(error) for error in said[False]} == {
        errors.SessionTimeout,
        errors.OutcomeUnknown,
        errors.Disconnected,
        errors.BoardWasReset,
        errors.ProtocolViolation,
        errors.ConnectionFailed,
        errors.DeviceNotFound,
    }
    assert verdict(errors.SessionTimeout("x", outcome="not_started", recovered=False)) is False
    assert verdict(errors.SessionTimeout("x", outcome="not_started")) is None, "the session was busy; the board is well"
