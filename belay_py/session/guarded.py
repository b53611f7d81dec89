"""Operations under the session's policies, for sessions that have any.

The order, outermost first: the one deadline of the call; retries; for each attempt the circuit breaker, then the rate
limit, then the operation itself. So an open circuit uses up no rate, each attempt counts for the limit, waiting for it
happens within the deadline, and no try comes after that.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

from belay_py.errors import CircuitOpen, RateLimited
from belay_py.policies import (
    CircuitBreaker,
    FixedWindow,
    RateLimit,
    SlidingWindow,
    TokenBucket,
    backoff,
    may_retry,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from belay_py.options import DeviceSessionOptions, RateLimitOptions
    from belay_py.session.standing import Standing

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

SHARE = 0.8
"""How much of what a board was measured to bear is taken as its rate, where the user named none."""
FASTEST = 1e-4
"""Seconds: what an execution takes at least, on the fastest link there is (100 to 300 µs were measured)."""


def guard_of(standing: Standing) -> Guard | None:
    """Return what acts on the session's policies, or None when its options name none."""
    options = standing.options
    if options.retry is None and options.rate_limit is None and options.circuit_breaker is None:
        return None
    return Guard(standing, options)


class Guard:
    """The policies of one session at work."""

    def __init__(self, standing: Standing, options: DeviceSessionOptions) -> None:
        self._standing = standing
        self._retry = options.retry
        self._rate = options.rate_limit
        breaker = options.circuit_breaker
        self._breaker = None if breaker is None else CircuitBreaker(breaker.failures, breaker.reset_after)
        self._limit: RateLimit | None = None
        self._limit_of = -1
        """The generation whose round trip `_limit` was made from."""

    @property
    def is_closed(self) -> bool:
        """Whether the circuit is: no failures in a row keep operations out."""
        return self._breaker is None or self._breaker.state == "closed"

    async def run(
        self,
        work: Callable[[float], Awaitable[_T]],
        timeout: float | None,
        *,
        idempotent: bool = False,
        once: bool = False,
    ) -> _T:
        """Do ``work``, which is given the seconds that are left, as often as it needs and may be tried.

        ``once`` says that it cannot be done again: its input is used up.
        Raises what it raises, `CircuitOpen` and `RateLimited`. The ``outcome`` of the error speaks of all attempts.
        """
        loop = asyncio.get_running_loop()
        deadline = self._standing.deadline(timeout)
        attempts = 0
        may_have_run = False
        while True:
            attempts += 1
            try:
                return await self._attempt(work, deadline)
            except Exception as error:
                delay = self._delay(attempts, error, idempotent=idempotent)
                if delay is None or once or loop.time() + delay >= deadline:
                    if attempts > 1:
                        _conclude(error, attempts, may_have_run=may_have_run)
                    raise
                may_have_run = may_have_run or not _did_not_start(error)
                self._tell(attempts, delay, error)
            await asyncio.sleep(delay)

    async def stream(
        self, pieces: Callable[[float], AsyncGenerator[bytes]], timeout: float | None
    ) -> AsyncGenerator[bytes]:
        """Pass a stream on that begins under the policies. It is never tried again: what it yielded is taken."""
        deadline = self._standing.deadline(timeout)
        ticket = await self._admit(deadline)
        try:
            async with aclosing(pieces(self._left(deadline))) as stream:
                async for piece in stream:
                    ticket = self._answered(ticket)
                    yield piece
        except BaseException as error:  # it goes on
            self._note(ticket, error)
            raise
        self._note(ticket, None)

    # -- internals ----------------------------------------------------------------------------------------------

    async def _attempt(self, work: Callable[[float], Awaitable[_T]], deadline: float) -> _T:
        ticket = await self._admit(deadline)
        try:
            result = await work(self._left(deadline))
        except BaseException as error:  # it goes on
            self._note(ticket, error)
            raise
        self._note(ticket, None)
        return result

    async def _admit(self, deadline: float) -> int:
        """Pass the breaker and the rate limit; return the breaker's ticket."""
        breaker = self._breaker
        ticket = None if breaker is None else breaker.begin(_now())
        if breaker is None:
            await self._wait_for_rate(deadline)
            return 0
        if ticket is None:
            raise self._open_circuit(breaker)
        try:
            waited = await self._wait_for_rate(deadline)
        except BaseException:  # it goes on
            breaker.cancelled(ticket)
            raise
        if waited and not breaker.knows(ticket):
            # It opened while this one waited. One that closed it is good news.
            ticket = breaker.begin(_now())
            if ticket is None:
                raise self._open_circuit(breaker)
        return ticket

    def _answered(self, ticket: int) -> int:
        """Close the circuit if this is its trial; return the ticket for the rest of the stream.

        Its first output is an answer, and a consumer may never come back for the rest: the trial must not last so long.
        """
        breaker = self._breaker
        if breaker is None or breaker.state != "half-open" or not breaker.knows(ticket):
            return ticket
        breaker.succeeded(ticket)
        begun = breaker.begin(_now())
        return ticket if begun is None else begun

    def _note(self, ticket: int, error: BaseException | None) -> None:
        breaker = self._breaker
        if breaker is None:
            return
        well = True if error is None else verdict(error)
        if well is None:
            breaker.cancelled(ticket)
        elif well:
            breaker.succeeded(ticket)
        else:
            breaker.failed(ticket, _now())

    async def _wait_for_rate(self, deadline: float) -> bool:
        """Wait until the rate limit lets an operation begin; return whether that took any time."""
        rate, limit = self._rate, self._rate_limit()
        if rate is None or limit is None:
            return False
        now = _now()
        begin = limit.reserve(now)
        if begin <= now:
            return False
        if not rate.wait or begin > deadline:
            limit.give_back(begin)
            raise RateLimited(
                f"the rate limit of {self._standing.options.port} is used up for {begin - now:.3g} s"
                f"{', and the deadline comes before that' if rate.wait else ''}; wait so long, "
                "or allow more operations (rate_limit)",
                retry_after=begin - now,
            )
        try:
            await asyncio.sleep(begin - now)
        except BaseException:  # it goes on
            limit.give_back(begin)
            raise
        return True

    def _rate_limit(self) -> RateLimit | None:
        """Return the limit to go by. One taken from the board is made anew, and empty, with each connection."""
        rate = self._rate
        if rate is None:
            return None
        if rate.operations is not None:
            if self._limit is None:
                self._limit = _limit(rate, rate.operations)
        elif self._limit_of != self._standing.generation:
            round_trip = self._standing.counters.round_trip
            if round_trip is not None:  # before the first connect nothing is known, and nothing can run
                self._limit = _limit(rate, bearable(rate.period, round_trip))
                self._limit_of = self._standing.generation
        return self._limit

    def _delay(self, attempts: int, error: Exception, *, idempotent: bool) -> float | None:
        retry = self._retry
        if retry is None or attempts >= retry.max_attempts or not may_retry(error, idempotent=idempotent):
            return None
        return backoff(attempts - 1, retry.delay, retry.max_delay, random.random)

    def _tell(self, attempts: int, delay: float, error: Exception) -> None:
        if self._retry is not None and _log.isEnabledFor(logging.INFO):
            _log.info(
                "attempt %d of %d on %s failed (%s: %s); the next one comes in %.2f s",
                attempts, self._retry.max_attempts, self._standing.options.port, type(error).__name__, error, delay,
                extra=self._standing.counters.about,
            )  # fmt: skip

    def _open_circuit(self, breaker: CircuitBreaker) -> CircuitOpen:
        left = breaker.retry_after(_now())
        when = f"for another {left:.3g} s" if left else "while one operation tries whether it answers again"
        return CircuitOpen(
            f"{self._standing.options.port} failed several times in a row and is left alone {when}; "
            "see what is wrong with the board or its cable",
            retry_after=left,
        )

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - _now())


def bearable(period: float, round_trip: float) -> int:
    """How many operations a board bears in a period, by what the question about it took: `SHARE` of them, at least 1.

    That question is 1 KB of code, so it has the wire time of a slow baudrate in it.
    """
    return max(1, int(SHARE * period / max(round_trip, FASTEST)))


def _did_not_start(error: Exception) -> bool:
    return getattr(error, "outcome", None) == "not_started"


def _conclude(error: Exception, attempts: int, *, may_have_run: bool) -> None:
    """Let the last error speak of all attempts: that the last one did not start says nothing of those before it."""
    if may_have_run and _did_not_start(error):
        vars(error)["outcome"] = "unknown"
        error.add_note(f"{attempts} attempts were made; the code of one before the last may have run")
    else:
        error.add_note(f"{attempts} attempts were made")


def _limit(options: RateLimitOptions, operations: int) -> RateLimit:
    if options.kind == "fixed_window":
        return FixedWindow(operations, options.period)
    if options.kind == "sliding_window":
        return SlidingWindow(operations, options.period)
    return TokenBucket(operations, options.period, operations if options.burst is None else options.burst)


def _now() -> float:
    return asyncio.get_running_loop().time()
