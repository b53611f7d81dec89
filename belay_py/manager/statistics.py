"""What a manager has done since it was made, and how it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from belay_py.manager.counters import BOUNDS, HOLDS, LIFETIMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.lifecycle import DeviceSessionState
    from belay_py.manager.health import HealthFinding
    from belay_py.session.statistics import SessionStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatistics:
    """One device's numbers at one moment."""

    state: DeviceSessionState | None
    """Of its session; None while it has none."""
    generation: int
    """Which connection its session has; 0 is none yet."""
    known: bool
    """Whether the manager still knows it: the numbers of 1,000 others are kept."""
    gone_for: float
    """For how many seconds it has been known no more; 0 while it is."""
    in_use: bool
    """Whether a lease or a call has its board."""
    quarantined: bool
    finding: HealthFinding | None
    """What the latest check of its board has found."""
    done: SessionStatistics
    """What all its sessions have done, one after the other: see `ManagerStatistics`. Its counters never fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatistics:
    """A manager's numbers at one moment. Durations are seconds. Those in the first part never fall.

    ``connects`` is the sum of ``closed`` and ``connected``; ``leases_granted`` that of ``leases_released`` and
    ``leases_held``.
    """

    BOUNDS: ClassVar[tuple[float, ...]] = BOUNDS
    """Of the histograms: the nth number counts what took up to so many seconds, the last one what took longer."""
    LIFETIMES: ClassVar[tuple[float, ...]] = LIFETIMES
    """The same for ``session_lifetimes``."""
    HOLDS: ClassVar[tuple[float, ...]] = HOLDS
    """The same for ``lease_holds``."""

    sessions_created: int
    sessions_disposed: int
    session_time: float
    """How long those lived that are disposed of, together."""
    session_lifetimes: tuple[int, ...]
    """How many of them lived how long: a histogram over ``LIFETIMES``."""
    connects: int
    closed: Mapping[str, int]
    """Connections that have ended, by the reason: those of `SessionDisconnected`, and ``error``."""
    reconnects: int
    """Connects that the manager made by itself, after a loss."""
    reconnect_failures: int
    """How often the last attempt failed."""
    quarantines: int
    operations: int
    """Of all sessions, those included that are disposed of. Heartbeats and health checks are none."""
    errors: int
    operation_time: float
    operation_durations: tuple[int, ...]
    leases_granted: int
    leases_released: int
    leases_leaked: int
    lease_failures: Mapping[str, int]
    """Leases that came to nothing, by what was raised: words as those of `SessionStatistics.failures`."""
    lease_wait_time: float
    """From asking for a lease to having its boards, ready."""
    lease_waits: tuple[int, ...]
    lease_hold_time: float
    """How long those were held that came back, together."""
    lease_holds: tuple[int, ...]
    """How many of them were held how long: a histogram over ``HOLDS``."""
    calls: int
    """Uses of a board outside of leases."""
    evictions: int
    heartbeats: int
    health_checks: int
    failed_checks: int
    """Heartbeats and health checks that failed."""
    cleanup_runs: int
    cleaned_up: int
    """What these have closed or dropped."""

    sessions: int
    connected: int
    leases_held: int
    leases_overdue: int
    """Those of them that are held for longer than ``leak_after``."""
    oldest_lease: float
    """How long the oldest of them is held; 0 where there is none."""
    in_use: int
    """Boards that a lease or a call has."""
    waiting: int
    """How many wait for a board."""
    quarantined: int
    slots: int
    """How many of ``max_sessions`` are taken: boards that are connected, or that somebody has."""
    max_sessions: int
    devices: Mapping[str, DeviceStatistics]
    """By their names."""
