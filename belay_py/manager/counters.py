"""What a manager counts. Numbers only rise; a snapshot of them is `ManagerStatistics`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Since the manager was made."""

    leases_granted: int = 0
    leases_released: int = 0
    leases_leaked: int = 0
    evictions: int = 0
