"""What a manager counts. Numbers only rise; a snapshot of them is `ManagerStatistics`."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from belay_py.session.statistics import SessionStatistics, outcome_of

BOUNDS: Final = SessionStatistics.BOUNDS
LIFETIMES: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0, 7 * 24 * 3600.0)
"""From a session for one command to one for a week."""
HOLDS: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0)
"""From a lease for one command to one for an afternoon."""


@dataclass(slots=True)
class Histogram:
    """Durations in seconds, by how long they were: up to each of ``bounds``, and beyond."""

    bounds: tuple[float, ...] = BOUNDS
    buckets: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.buckets = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        if seconds:
            self.total += seconds
            self.buckets[bisect_left(self.bounds, seconds)] += 1
        else:  # as most leases wait, and this is on the way of each
            self.buckets[0] += 1


@dataclass(slots=True)
class Counters:
    """Since the manager was made."""

    leases_granted: int = 0
    leases_released: int = 0
    leases_leaked: int = 0
    lease_failures: dict[str, int] = field(default_factory=lambda: {"DeviceBusy": 0})
    lease_waits: Histogram = field(default_factory=Histogram)
    lease_holds: Histogram = field(default_factory=lambda: Histogram(HOLDS))
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

    def lease_failed(self, error: BaseException) -> None:
        """Count a lease that came to nothing."""
        outcome = outcome_of(error)
        self.lease_failures[outcome] = self.lease_failures.get(outcome, 0) + 1
