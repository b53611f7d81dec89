"""Three ways to say how many operations may begin in a time.

Each gives reservations: the time at which an operation may begin, never before that of one that asked earlier. A
reservation that is not used can be given back, and then counts for nobody; those behind it keep their times.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class RateLimit(Protocol):
    """What the three have in common. Times are readings of one clock that never goes back, in seconds."""

    def reserve(self, now: float) -> float:
        """Reserve the earliest time for one more operation; ``now`` or earlier means that it may begin at once."""
        ...

    def give_back(self, begin: float) -> None:
        """Give back what `reserve` returned. A time that others have passed already counts as used."""
        ...


class FixedWindow:
    """``operations`` in each window of ``period`` seconds; the windows lie end to end from the clock's 0.

    Around a border twice as many may begin within one period.
    """

    __slots__ = ("_counts", "_operations", "_period")

    def __init__(self, operations: int, period: float) -> None:
        self._operations = operations
        self._period = period
        self._counts: dict[int, int] = {}
        """The windows in which operations begin or are to begin, by number, in rising order."""

    def reserve(self, now: float) -> float:
        """See `RateLimit.reserve`."""
        counts = self._counts
        current = int(now // self._period)
        if counts and next(iter(counts)) < current:
            self._counts = counts = {window: count for window, count in counts.items() if window >= current}
        window = next(reversed(counts)) if counts else current
        if counts.get(window, 0) >= self._operations:
            window += 1
        counts[window] = counts.get(window, 0) + 1
        return now if window == current else window * self._period

    def give_back(self, begin: float) -> None:
        """See `RateLimit.give_back`."""
        window = round(begin / self._period)
        if begin != window * self._period:  # it could begin at once, somewhere within its window
            window = int(begin // self._period)
        if window in self._counts:
            self._counts[window] -= 1
            if not self._counts[window]:
                del self._counts[window]


class SlidingWindow:
    """``operations`` in any stretch of ``period`` seconds, wherever it begins. It remembers each of them."""

    __slots__ = ("_begins", "_operations", "_period")

    def __init__(self, operations: int, period: float) -> None:
        self._operations = operations
        self._period = period
        self._begins: deque[float] = deque()

    def reserve(self, now: float) -> float:
        """See `RateLimit.reserve`."""
        begins, period = self._begins, self._period
        while begins and begins[0] + period <= now:
            begins.popleft()
        begin = now
        if begins:
            begin = max(begin, begins[-1])
            if len(begins) >= self._operations:
                begin = max(begin, begins[-self._operations] + period)
        begins.append(begin)
        return begin

    def give_back(self, begin: float) -> None:
        """See `RateLimit.give_back`."""
        if begin in self._begins:
            self._begins.remove(begin)


class TokenBucket:
    """``operations`` in a ``period`` in the long run, and ``burst`` at once after a rest.

    It is kept as the generic cell rate algorithm (ITU-T I.371): one number says when the bucket will be full again.
    """

    __slots__ = ("_base", "_full_at", "_interval", "_rounding", "_slack", "_waiting")

    def __init__(self, operations: int, period: float, burst: int) -> None:
        self._interval = period / operations
        self._slack = (burst - 1) * self._interval
        self._rounding = self._interval / 1_000_000
        """By how much a sum of intervals may be off: the last of a burst is not to wait for 1e-13 s."""
        self._full_at = float("-inf")
        self._waiting: deque[float] = deque()
        """Reservations that had not come when they were last looked at."""
        self._base = float("-inf")
        """When the bucket would be full again without them."""

    def reserve(self, now: float) -> float:
        """See `RateLimit.reserve`."""
        if self._waiting:
            self._pass(now)
        full_at = self._full_at
        begin = full_at - self._slack
        if begin <= now + self._rounding and not self._waiting:
            self._full_at = (full_at if full_at > now else now) + self._interval  # noqa: FURB136  max() takes longer
            return now
        if not self._waiting:
            self._base = full_at
        else:
            begin = max(begin, self._waiting[-1])
        self._waiting.append(begin)
        self._full_at = max(full_at, begin) + self._interval
        return begin

    def give_back(self, begin: float) -> None:
        """See `RateLimit.give_back`."""
        if begin not in self._waiting:
            return
        self._waiting.remove(begin)
        full_at = self._base
        for other in self._waiting:
            full_at = max(full_at, other) + self._interval
        self._full_at = full_at

    def _pass(self, now: float) -> None:
        while self._waiting and self._waiting[0] <= now:
            self._base = max(self._base, self._waiting.popleft()) + self._interval
