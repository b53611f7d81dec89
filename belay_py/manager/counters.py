"""What a manager counts. Numbers only rise; a snapshot of them is `ManagerStatistics`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from belay_py.session.statistics import SessionStatistics

BOUNDS: Final = SessionStatistics.BOUNDS


@dataclass(slots=True)
class Histogram:
    """Durations in seconds, by how long they were: up to each of `BOUNDS`, and beyond."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.total += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1


@dataclass(slots=True)
class Counters:
    """Since the manager was made."""

    leases_granted: int = 0
    leases_released: int = 0
    leases_leaked: int = 0
    lease_waits: Histogram = field(default_factory=Histogram)
    calls: int = 0
    """Operations and connects outside of leases."""
    evictions: int = 0
    heartbeats: int = 0
    health_checks: int = 0
    failed_checks: int = 0
    reconnects: int = 0
    reconnect_failures: int = 0
    quarantines: int = 0
    cleanup_runs: int = 0
    cleaned_up: int = 0
