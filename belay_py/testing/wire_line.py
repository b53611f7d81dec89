"""When bytes arrive at the end of a serial line: pure arithmetic on nanoseconds.

A byte takes 10 bits: start, eight of data, stop. A byte that finds the line free leaves it ``10 / baudrate`` seconds
later; one that finds it busy leaves ``10 / baudrate`` after the one before. Each arrives ``latency`` after it left, or
up to ``jitter`` later still, and never before its predecessor.

Times are absolute: the k-th byte of a run leaves at ``start + k * 10 / baudrate``, rounded up to a nanosecond once, so
that neither rounding nor a late look at the clock adds up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

SECOND = 1_000_000_000
BITS_PER_BYTE = 10


def leaving(start: int, count: int, baudrate: int) -> int:
    """When the ``count``-th byte of a run leaves the line, whose first one began at ``start`` nanoseconds."""
    return start - (-count * BITS_PER_BYTE * SECOND // baudrate)


class Line:
    """One direction. ``baudrate`` None is a line that takes no time; ``latency`` and ``jitter`` are nanoseconds."""

    def __init__(self, baudrate: int | None, latency: int, jitter: int, random: Random) -> None:
        self._baudrate = baudrate
        self._latency = latency
        self._jitter = jitter
        self._random = random
        self._instant = baudrate is None and not latency and not jitter
        self._ready = 0
        self.clear()

    def clear(self) -> None:
        """Forget what is under way; the line is free."""
        self._ready = 0
        self._due: deque[int] = deque()
        self._start = self._sent = self._free = self._last = 0

    def accept(self, count: int, now: int) -> None:
        """Let ``count`` bytes begin their way at ``now``, or when the line is free."""
        if self._instant:
            self._ready += count
            return
        for _ in range(count):
            left = self._leave(now) + self._latency
            if self._jitter:
                left += self._random.randint(0, self._jitter)
            self._last = max(self._last, left)
            self._due.append(self._last)

    def _leave(self, now: int) -> int:
        if self._baudrate is None:
            return now
        if now >= self._free:
            self._start, self._sent = now, 0
        self._sent += 1
        self._free = leaving(self._start, self._sent, self._baudrate)
        return self._free

    def arrived(self, now: int) -> int:
        """How many bytes have arrived by ``now`` and were not taken."""
        while self._due and self._due[0] <= now:
            self._due.popleft()
            self._ready += 1
        return self._ready

    def take(self, count: int) -> None:
        """Take bytes that have arrived."""
        self._ready -= count

    def next_look(self, now: int, pause: int) -> int | None:
        """When to look again: at the next arrival, but not within ``pause`` unless the last one comes before."""
        if not self._due:
            return None
        return min(max(self._due[0], now + pause), self._due[-1])
