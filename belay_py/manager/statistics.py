"""What a manager has done since it was made, and how it stands now."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from belay_py import events
from belay_py.manager.counters import BOUNDS
from belay_py.manager.plan import USES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool
    from belay_py.session.session import DeviceSession


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatistics:
    """A manager's numbers at one moment. Durations are seconds. Those in the first part never fall.

    ``connects`` is the sum of ``closed`` and ``connected``; ``leases_granted`` that of ``leases_released`` and
    ``leases_held``.
    """

    BOUNDS: ClassVar[tuple[float, ...]] = BOUNDS
    """Of the histograms: the nth number counts what took up to so many seconds, the last one what took longer."""

    sessions_created: int
    sessions_disposed: int
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
    lease_wait_time: float
    """From asking for a lease to having its boards, ready."""
    lease_waits: tuple[int, ...]
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
    in_use: int
    """Boards that a lease or a call has."""
    waiting: int
    """How many wait for a board."""
    quarantined: int
    max_sessions: int


class Tally:
    """Counts what the events tell."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connected: set[Member] = set()
        self._created = 0
        self._disposed = 0
        self._connects = 0
        self._closed: dict[str, int] = {}
        self._operations = 0
        self._errors = 0
        self._time = 0.0
        self._durations = [0] * (len(BOUNDS) + 1)
        pool.observers.append(self._note)

    def _note(self, event: events.SessionEvent, member: Member) -> None:
        match event:
            case events.SessionCreated():
                self._created += 1
            case events.SessionConnected():
                self._connects += 1
                self._connected.add(member)
            case events.SessionDisconnected():
                self._ended(member, event.reason)
            case events.SessionError():
                self._ended(member, "error")
            case events.SessionDisposed():
                self._disposed += 1
                self._add(event.session)

    def _ended(self, member: Member, reason: str) -> None:
        if member in self._connected:
            self._connected.discard(member)
            self._closed[reason] = self._closed.get(reason, 0) + 1

    def _add(self, session: DeviceSession) -> None:
        """Keep what a session has done that is over."""
        done = session.statistics
        self._operations += done.operations
        self._errors += done.errors
        self._time += done.duration
        self._durations = [kept + new for kept, new in zip(self._durations, done.durations, strict=True)]

    def snapshot(self) -> ManagerStatistics:
        """Return the numbers as they are now."""
        pool, counters = self._pool, self._pool.counters
        there = [member.session.statistics for member in pool.members.values() if member.session is not None]
        durations = zip(self._durations, *(each.durations for each in there), strict=True)
        holders = [place.holder for place in pool.plan.places.values() if place.holder is not None]
        return ManagerStatistics(
            sessions_created=self._created,
            sessions_disposed=self._disposed,
            connects=self._connects,
            closed=MappingProxyType(dict(self._closed)),
            reconnects=counters.reconnects,
            reconnect_failures=counters.reconnect_failures,
            quarantines=counters.quarantines,
            operations=self._operations + sum(each.operations for each in there),
            errors=self._errors + sum(each.errors for each in there),
            operation_time=self._time + sum(each.duration for each in there),
            operation_durations=tuple(sum(each) for each in durations),
            leases_granted=counters.leases_granted,
            leases_released=counters.leases_released,
            leases_leaked=counters.leases_leaked,
            lease_wait_time=counters.lease_waits.total,
            lease_waits=tuple(counters.lease_waits.buckets),
            calls=counters.calls,
            evictions=counters.evictions,
            heartbeats=counters.heartbeats,
            health_checks=counters.health_checks,
            failed_checks=counters.failed_checks,
            cleanup_runs=counters.cleanup_runs,
            cleaned_up=counters.cleaned_up,
            sessions=len(there),
            connected=len(self._connected),
            leases_held=len(pool.leases),
            in_use=sum(holder.kind in USES for holder in holders),
            waiting=len(pool.plan.waiting),
            quarantined=len(pool.quarantined),
            max_sessions=pool.plan.max_open,
        )
