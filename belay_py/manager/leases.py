"""Leases: the right to use boards, from their checkout to their checkin."""

from __future__ import annotations

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from belay_py import events
from belay_py.errors import BelayError, SessionClosed
from belay_py.manager.readiness import is_fresh, make_ready
from belay_py.session.session import DeviceSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from belay_py.manager.member import Member
    from belay_py.manager.plan import Claim
    from belay_py.manager.pool import Pool
    from belay_py.session.group import Group

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class LeasedSession(DeviceSession):
    """A session as its lessee has it, for the length of the lease. It is the same session in all but that."""

    def __init__(self, session: DeviceSession, group: Group) -> None:
        self.__dict__.update(session.__dict__)  # all parts are shared
        self._lease_group = group

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

    __slots__ = (
        "__weakref__",
        "_pool",
        "_reported",
        "_seats",
        "_shape",
        "_since",
        "_timeout",
        "claim",
        "lease_id",
        "stack",
    )

    def __init__(self, pool: Pool, claim: Claim, timeout: float, shape: Callable[[list[LeasedSession]], _T]) -> None:
        self._pool = pool
        self.claim = claim
        """What the plan knows of it."""
        self._timeout = timeout
        self._shape = shape
        self._seats: list[LeasedSession] | None = None
        self._since = 0.0
        self._reported = False
        self.lease_id = 0
        """A number of its own, from its granting on."""
        self.stack = ""
        """Where it was taken, if the manager keeps that."""

    def __repr__(self) -> str:
        state = "released" if self.lease_id and not self._seats else "held" if self._seats else "not acquired"
        return f"<Lease of {self.claim.wants} by {self.claim.holder}, {state}>"

    async def __aenter__(self) -> _T:
        return await self.acquire()

    async def __aexit__(self, *ending: object) -> None:
        self.release()

    async def acquire(self) -> _T:
        """Wait for the boards, connect those that are not, and return their sessions.

        Raises `DeviceBusy` when they are not free before the deadline, `TooManyWaiters`, `DeviceNotFound`,
        `CircuitOpen`, `SessionClosed` when the manager closes, and what connecting raises.
        """
        pool, claim = self._pool, self.claim
        pool.require_here()
        if self.lease_id:
            raise BelayError("this lease was taken already; make another one with manager.lease()")
        began = pool.time()
        deadline = began + self._timeout
        await pool.admission.admit(claim, deadline)
        pool.counters.leases_granted += 1
        self.lease_id = pool.counters.leases_granted
        pool.leases[self.lease_id] = self
        members = [pool.members[key] for key in claim.granted]
        self._seats = [self._seat(member) for member in members]
        try:
            stale = [member for member in members if not is_fresh(member, began)]
            if stale:
                await make_ready(stale, deadline)
        except BaseException:
            self.release()
            raise
        self._since = pool.time()
        for member in members:
            member.lease_is_ready()
        for seat in self._seats:
            self._tell(seat, events.LeaseGranted, waited=self._since - began)
        return self._shape(self._seats)

    def _seat(self, member: Member) -> LeasedSession:
        member.begin_lease(self.claim)
        group = member.standing.turn.group()
        group.adopt()
        group.join()
        return LeasedSession(member.make_session(), group)

    def release(self) -> None:
        """Give the boards back. Any number of times; their sessions, as this lease yielded them, are over then."""
        seats, self._seats = self._seats, None
        if not seats:
            return
        pool = self._pool
        del pool.leases[self.lease_id]
        pool.counters.leases_released += 1
        held = pool.time() - self._since
        for seat in seats:
            group = seat._lease_group  # noqa: SLF001  the two halves of a lease
            group.leave()
            if group.refuse() and seat.options.checkin != "leave":
                pool.spawn(_stop(seat), f"{seat.device_id} is stopped at the end of its lease")
            self._tell(seat, events.LeaseReleased, held=held, leaked=self._reported)
            group.end()

    def _tell(self, seat: LeasedSession, kind: type[events.LeaseEvent], **about: Any) -> None:
        listeners = seat._listeners  # noqa: SLF001  the two halves of a lease
        if listeners.wanted:
            listeners.emit(kind, lease_id=self.lease_id, holder=self.claim.holder, **about)


async def _stop(session: DeviceSession) -> None:
    try:
        await DeviceSession.interrupt(session, timeout=session.options.recovery_timeout)
    except BelayError as error:
        _log.warning("%s: what ran at the end of its lease could not be stopped: %s", session.device_id, error)


def caller(depth: int) -> str:
    """The place that called, ``depth`` frames up, as ``file:line``."""
    frame = sys._getframe(depth + 1)  # noqa: SLF001  CPython's own way; a whole stack costs 40 times as much
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
