"""Leases: the right to use boards, from their checkout to their checkin."""

from __future__ import annotations

import functools
import logging
import math
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from belay_py import events
from belay_py.errors import BelayError, SessionClosed, SettingsError
from belay_py.manager.instruments import watch_lease
from belay_py.manager.readiness import is_fresh, make_ready
from belay_py.manager.stopping import stop
from belay_py.session.session import DeviceSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from belay_py.manager.claims import Claim
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool
    from belay_py.metrics import Observed
    from belay_py.session.functions.setups import Setups
    from belay_py.session.group import Group

_log = logging.getLogger(__name__)
_FOR_EVER = 1e9  # seconds: what is asked for as inf
_T = TypeVar("_T")


class LeasedSession(DeviceSession):
    """A session as its lessee has it, for the length of the lease. It is the same session in all but that."""

    __slots__ = ("_lease_group", "_lease_setups")

    def __init__(self, session: DeviceSession, group: Group) -> None:
        self.__dict__ = session.__dict__  # all of it is shared, but for the slot
        self._lease_group = group
        self._lease_setups: Setups | None = None

    @property
    def _functions(self) -> Setups:
        """The setups of the session, and those that the lease adds to them for its own length."""
        if self._lease_setups is None:
            self._lease_setups = super()._functions.of_lease()
        return self._lease_setups

    def __repr__(self) -> str:
        over = "" if self._lease_group.is_open else ", its lease is over"
        return f"<DeviceSession {self.device_id!r} on {self.options.port} {self.state.name}, leased{over}>"

    async def _begin(self, group: Group, timeout: float | None) -> None:
        self._require_lease()
        with self._lease_group.membership():
            await super()._begin(group, timeout)

    def _require_lease(self) -> None:
        if not self._lease_group.is_open:
            raise SessionClosed(f"the lease of {self.device_id!r} is over; take another one, with manager.lease()")


def _within_lease(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    method = getattr(DeviceSession, name)

    @functools.wraps(method)
    async def operation(self: LeasedSession, *args: Any, **kwargs: Any) -> Any:
        self._require_lease()
        if self._lease_group.is_joined:  # as in the task that took the lease
            return await method(self, *args, **kwargs)
        with self._lease_group.membership():
            return await method(self, *args, **kwargs)

    return operation


def _ending_within_lease(name: str) -> Callable[..., Coroutine[Any, Any, None]]:
    method = getattr(DeviceSession, name)

    @functools.wraps(method)
    async def ending(self: LeasedSession) -> None:
        if self._lease_group.is_open:  # afterwards it is somebody else's, and endings are safe in any state
            await method(self)

    return ending


def _pieces_within_lease(name: str) -> Callable[..., AsyncGenerator[Any]]:
    method = getattr(DeviceSession, name)

    @functools.wraps(method)
    def pieces(self: LeasedSession, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        self._require_lease()
        return _members_pieces(self._lease_group, method(self, *args, **kwargs))

    return pieces


async def _members_pieces(group: Group, pieces: AsyncGenerator[_T]) -> AsyncGenerator[_T]:
    try:
        with group.membership():
            async for piece in pieces:
                yield piece
    finally:
        await pieces.aclose()


# Their signatures are those of the class above, which type checkers see.
for _name in (
    "execute",
    "execute_many",
    "run",
    "evaluate",
    "interrupt",
    "soft_reset",
    "hard_reset",
    "set_time",
    "connect",
    "reconnect",
):
    setattr(LeasedSession, _name, _within_lease(_name))
for _name in ("disconnect", "close"):
    setattr(LeasedSession, _name, _ending_within_lease(_name))
for _name in ("stream", "monitor"):
    setattr(LeasedSession, _name, _pieces_within_lease(_name))


class Lease(Generic[_T]):
    """Boards for the length of an ``async with`` block, which yields their sessions. Made by the manager's ``lease``.

    `acquire` and `release` do the same without a block.
    """

    lease_id = 0
    """A number of its own, from its granting on."""
    since = math.inf
    """When its boards were ready, on the loop's clock."""
    is_reported = False
    """Whether it was told that it is held for too long."""
    stack = ""
    """Where it was taken, if the manager keeps that."""
    _seats: list[LeasedSession] | None = None
    _observed: Observed | None = None
    """What the manager's instruments make of it, if it has any."""

    def __init__(self, pool: Pool, claim: Claim, timeout: float, shape: Callable[[list[LeasedSession]], _T]) -> None:
        self._pool = pool
        self.claim = claim
        """What the plan knows of it."""
        self._timeout = timeout
        self._shape = shape

    def __repr__(self) -> str:
        state = "released" if self.lease_id and not self._seats else "held" if self._seats else "not acquired"
        return f"<Lease of {self.claim.wants} by {self.claim.holder}, {state}>"

    async def acquire(self) -> _T:
        """Wait for the boards, connect those that are not, and return their sessions.

        Raises `DeviceBusy` when they are not free before the deadline, `TooManyWaiters`, `DeviceNotFound`,
        `CircuitOpen`, `SessionClosed` when the manager closes, and what connecting raises.
        """
        self._pool.require_here()
        if self.lease_id:
            raise BelayError("this lease was taken already; make another one with manager.lease()")
        if self._pool.instruments:
            self._observed = watch_lease(self._pool, self.claim)
        try:
            return await self._acquire()
        except BaseException as error:  # it goes on
            self._pool.counters.lease_failed(error)
            if self._observed is not None:
                self._observed.ended(error)
            raise

    async def _acquire(self) -> _T:
        pool, claim = self._pool, self.claim
        ready = began = pool.time()
        while True:
            if not pool.admission.admit_at_once(claim, ready):
                await pool.admission.wait(claim, began + min(self._timeout, _FOR_EVER))
                ready = pool.time()
            stale = self._sit_down(claim, began)
            if not stale:
                break
            other = await self._make_ready(stale, began + min(self._timeout, _FOR_EVER))
            ready = pool.time()
            if other is None:
                break
            claim = self.claim = other
        self.since = ready
        pool.counters.lease_waits.add(ready - began)
        seats = self._seats or []
        if pool.journaling is not None:
            pool.journaling.lease_began(self, seats)
        if self._observed is not None:
            self._observed.granted({seat.device_id: seat.session_id for seat in seats}, ready - began)
        for seat in seats:
            if seat._listeners.wanted:  # noqa: SLF001  the two halves of a lease
                self._tell(seat, events.LeaseGranted, waited=ready - began)
        return self._shape(seats)

    __aenter__ = acquire

    async def __aexit__(self, *ending: object) -> None:
        self.release()

    def _sit_down(self, claim: Claim, now: float) -> list[Member]:
        """Take the boards that the claim was granted; return those that have to be got ready."""
        pool = self._pool
        pool.counters.leases_granted = self.lease_id = pool.counters.leases_granted + 1
        pool.leases[self.lease_id] = self
        self._seats = seats = []
        stale = []
        for key in claim.granted:
            member = pool.members[key]
            session = member.begin_lease(claim)
            seats.append(_seat(session))
            standing = session._standing  # noqa: SLF001  a keeper and what it keeps
            if is_fresh(standing, now):
                member.relies_on = standing.boot_epoch
            else:
                stale.append(member)
        return stale

    async def _make_ready(self, stale: list[Member], deadline: float) -> Claim | None:
        """Connect and check boards; where some do not work and others fit, return a claim on those instead."""
        try:
            await make_ready(stale, deadline, patient=bool(self.claim.keys))
        except BaseException as error:  # it goes on, or one of ours does
            if self._seats is None and isinstance(error, BelayError):
                raise self._ended_by_force() from None
            self.release()
            other = self._pool.passing_over.instead_of(self.claim, error)
            if other is None or self._pool.time() >= deadline:
                raise
            names, about = " and ".join(self.claim.granted), self._pool.about(self.claim.granted)
            _log.warning("%s: passed over for another board: %s", names, error, extra=about)
            return other
        if self._seats is None:
            raise self._ended_by_force()
        closed = [key for key in self.claim.granted if self._pool.members[key].session is None]
        if closed:  # by others, who may: while one board of several gets ready, another one is not in use
            self.release()
            raise SessionClosed(f"{' and '.join(closed)} was closed while its lease began; take another one")
        for member in stale:
            member.relies_on = member.standing.boot_epoch
        return None

    def _ended_by_force(self) -> SessionClosed:
        return SessionClosed(f"{self.claim.wants} was removed, or the manager closed, while its lease began")

    def release(self) -> None:
        """Give the boards back. Any number of times; their sessions, as this lease yielded them, are over then."""
        seats, self._seats = self._seats, None
        if not seats:
            return
        pool = self._pool
        del pool.leases[self.lease_id]
        pool.counters.leases_released += 1
        if pool.journaling is not None:
            pool.journaling.lease_ended(self)
        held = pool.time() - self.since
        if held >= 0.0:  # else it never had its boards
            pool.counters.lease_holds.add(held)
        if self.is_reported:
            _log.info(
                "%s: the lease taken at %s came back after %g s",
                self.claim.wants,
                self.claim.holder,
                held,
                extra=pool.about(self.claim.granted),
            )
        for seat in seats:
            group = seat._lease_group  # noqa: SLF001  the two halves of a lease
            group.leave()
            if group.refuse() and seat.options.checkin != "leave":
                member = pool.members[seat.device_id]
                pool.spawn(
                    stop(member, seat, group, "its lease"), f"{member.key} is stopped at the end of its lease", member
                )
            # Before it had its boards, nobody was told that it had begun.
            if seat._listeners.wanted and self.since < math.inf:  # noqa: SLF001  the two halves of a lease
                self._tell(seat, events.LeaseReleased, held=held, leaked=self.is_reported)
            group.end_inside()
            group.end()
        if self._observed is not None and self.since < math.inf:  # else it fails, or gets another board
            self._observed.ended(None)

    def report(self, held: float) -> None:
        """Tell that it is held for too long."""
        self.is_reported = True
        for seat in self._seats or ():
            self._tell(seat, events.LeaseLeaked, held=held, stack=self.stack)

    def _tell(self, seat: LeasedSession, kind: type[events.LeaseEvent], **about: Any) -> None:
        seat._listeners.emit(  # noqa: SLF001  the two halves of a lease
            kind, lease_id=self.lease_id, holder=self.claim.holder, **about
        )


def _seat(session: DeviceSession) -> LeasedSession:
    group = session._standing.turn.group()  # noqa: SLF001  the two halves of a lease
    group.adopt()
    group.join()
    return LeasedSession(session, group)


def check_timeout(timeout: float) -> None:
    """Raise `SettingsError` for what is no number of seconds."""
    if not isinstance(timeout, int | float) or not timeout >= 0:
        raise SettingsError(f"timeout is {timeout!r}; it must be a number of seconds, 0 or more")


def caller(depth: int) -> str:
    """The place that called, ``depth`` frames up, as ``file:line``."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001  CPython's own way; a whole stack costs 40 times as much
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
