"""What the sessions of a manager have done, those that are over included, by their devices and together."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from belay_py import events
from belay_py.manager.claims import USES
from belay_py.manager.counters import LIFETIMES, Histogram
from belay_py.manager.statistics import DeviceStatistics, ManagerStatistics
from belay_py.session.statistics import SessionStatistics, added, nothing

if TYPE_CHECKING:
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool
    from belay_py.session.session import DeviceSession

KEPT: Final = 1000
"""Of how many devices that are known no more the numbers are kept: names may be made up without end."""


class Tally:
    """Counts what the events tell."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connected: set[Member] = set()
        self._created = 0
        self._disposed = 0
        self._connects = 0
        self._closed: dict[str, int] = {}
        self._lifetimes = Histogram(LIFETIMES)
        self._since: dict[str, float] = {}
        """When each session was made that is there, on the loop's clock."""
        self._over = nothing()
        """What all sessions have done that are over."""
        self._over_of: dict[str, SessionStatistics] = {}
        """The same by their devices."""
        self._forgotten_at: dict[str, float] = {}
        """When those of them were forgotten that are known no more, on the loop's clock."""
        pool.observers.append(self._note)
        pool.forgetting.append(lambda member: self._note_forgotten(member.key))

    def _note(self, event: events.SessionEvent, member: Member) -> None:
        match event:
            case events.SessionCreated():
                self._created += 1
                self._since[event.session.session_id] = self._pool.time()
            case events.SessionConnected():
                self._connects += 1
                self._connected.add(member)
            case events.SessionDisconnected():
                self._ended(member, event.reason)
            case events.SessionError():
                self._ended(member, "error")
            case events.SessionDisposed():
                self._disposed += 1
                self._lifetimes.add(self._pool.time() - self._since.pop(event.session.session_id))
                self._keep(member.key, event.session)

    def _ended(self, member: Member, reason: str) -> None:
        if member in self._connected:
            self._connected.discard(member)
            self._closed[reason] = self._closed.get(reason, 0) + 1

    def _keep(self, key: str, session: DeviceSession) -> None:
        """Keep what a session has done that is over."""
        done, over_of = session.statistics, self._over_of
        self._over = added(self._over, done)
        over_of[key] = added(over_of.pop(key, nothing()), done)  # at the end: the others are older
        if key not in self._pool.members:
            self._note_forgotten(key)
        if len(over_of) > KEPT:
            oldest = next((name for name in over_of if name not in self._pool.members), None)
            if oldest is not None:
                del over_of[oldest]
                self._forgotten_at.pop(oldest, None)

    def _note_forgotten(self, key: str) -> None:
        if key in self._over_of:
            self._forgotten_at[key] = self._pool.time()

    def _device(self, key: str) -> DeviceStatistics:
        pool = self._pool
        member, over = pool.members.get(key), self._over_of.get(key)
        session = None if member is None else member.session
        done = added(over or nothing(), session.statistics) if session is not None else over or nothing()
        holder = None if member is None else member.place.holder
        return DeviceStatistics(
            state=None if session is None else session.state,
            generation=0 if session is None else session.generation,
            known=member is not None,
            gone_for=0.0 if member is not None else pool.time() - self._forgotten_at[key],
            in_use=holder is not None and holder.kind in USES,
            quarantined=key in pool.quarantined,
            finding=None if member is None else member.finding,
            done=done,
        )

    def snapshot(self) -> ManagerStatistics:
        """Return the numbers as they are now."""
        pool, counters = self._pool, self._pool.counters
        there = [member.session.statistics for member in pool.members.values() if member.session is not None]
        done = added(self._over, *there)
        holders = [place.holder for place in pool.plan.places.values() if place.holder is not None]
        now = pool.time() if pool.leases else 0.0
        return ManagerStatistics(
            sessions_created=self._created,
            sessions_disposed=self._disposed,
            session_time=self._lifetimes.total,
            session_lifetimes=tuple(self._lifetimes.buckets),
            connects=self._connects,
            closed=MappingProxyType(dict(self._closed)),
            reconnects=counters.reconnects,
            reconnect_failures=counters.reconnect_failures,
            quarantines=counters.quarantines,
            operations=done.operations,
            errors=done.errors,
            operation_time=done.duration,
            operation_durations=done.durations,
            leases_granted=counters.leases_granted,
            leases_released=counters.leases_released,
            leases_leaked=counters.leases_leaked,
            lease_failures=MappingProxyType(dict(counters.lease_failures)),
            lease_wait_time=counters.lease_waits.total,
            lease_waits=tuple(counters.lease_waits.buckets),
            lease_hold_time=counters.lease_holds.total,
            lease_holds=tuple(counters.lease_holds.buckets),
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
            leases_overdue=sum(lease.is_reported for lease in pool.leases.values()),
            oldest_lease=max((now - lease.since for lease in pool.leases.values() if lease.since <= now), default=0.0),
            in_use=sum(holder.kind in USES for holder in holders),
            waiting=len(pool.plan.waiting),
            quarantined=len(pool.quarantined),
            slots=pool.plan.slots,
            max_sessions=pool.plan.max_open,
            devices=MappingProxyType({key: self._device(key) for key in {**self._over_of, **pool.members}}),
        )
