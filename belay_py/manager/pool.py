"""What the parts of a manager share: the plan, the members, who listens, and what runs in the background."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from typing import TYPE_CHECKING, Any

from belay_py.errors import BelayError, SessionClosed
from belay_py.manager.admission import Admission, unknown
from belay_py.manager.claims import CLOSING, Claim, Kind
from belay_py.manager.counters import Counters
from belay_py.manager.member import Member
from belay_py.manager.passing_over import PassingOver
from belay_py.manager.plan import Plan
from belay_py.session.about import About
from belay_py.session.listeners import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from belay_py.devices.discovery import Comports
    from belay_py.events import DisconnectReason, Listener, SessionEvent
    from belay_py.manager.journaling import Journaling
    from belay_py.manager.leases import Lease
    from belay_py.metrics import Installations
    from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions
    from belay_py.session.session import DeviceSession

_log = logging.getLogger(__name__)


_forks = 0


def _forked() -> None:
    global _forks  # noqa: PLW0603  one process has one number; asking the system for it costs more than a lease's plan
    _forks += 1


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=_forked)


class Pool:
    """The shared state of one manager's parts."""

    def __init__(self, options: DeviceSessionManagerOptions) -> None:
        self.options = options
        self.plan = Plan(max_open=options.max_sessions, max_waiting=options.max_waiting)
        self.admission = Admission(self.plan, self._evict, self.time)
        self.members: dict[str, Member] = {}
        self.leases: dict[int, Lease[Any]] = {}
        """Those that are held, by their numbers."""
        self.connecting: dict[str, asyncio.Event] = {}
        """New sessions on their first connect, and its end."""
        self.counters = Counters()
        self.on_connect: Callable[[DeviceSession], Awaitable[object]] | None = None
        self.observers: list[Callable[[SessionEvent, Member], None]] = []
        """The manager's own parts that follow events; they are told before the listeners."""
        self.forgetting: list[Callable[[Member], None]] = []
        """Those that are told of a device that is known no more."""
        self.instruments: Installations = ()
        """Those that are told of the leases, and of what the sessions do."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.lets_run = False
        """Whether what runs on a board goes on when its session ends, since the manager ends like that."""
        self.handing_over = False
        """Whether the manager ends so that another process goes on with its boards."""
        self.journaling: Journaling | None = None
        """The way into the journal, where there is one."""
        self.random = random.Random()  # noqa: S311  it spreads boards over time, and keeps no secret
        """The chance in delays and lifetimes."""
        self.comports: Comports | None = None
        """What lists the ports, in place of the system."""
        self.quarantined: dict[str, Callable[[], BelayError]] = {}
        """Boards that are left alone, and what to tell those who want them."""
        self.at_close: list[Callable[[], None]] = []
        """What to call when the manager begins to close, at once."""
        self.passing_over = PassingOver(self)
        self._subscriptions = Subscriptions()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = _forks

    # -- where and when -----------------------------------------------------------------------------------------

    def time(self) -> float:
        """The loop's clock, in seconds."""
        return (self._loop or self.loop).time()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the manager belongs to: the first one in which it was used. Raises `BelayError` outside."""
        if self._loop is None:
            self._loop = _running_loop()
        return self._loop

    @property
    def home(self) -> asyncio.AbstractEventLoop | None:
        """The loop, if the manager was used in one already."""
        return self._loop

    @property
    def is_inherited(self) -> bool:
        """Whether this is a forked child's copy: the boards are its parent's."""
        return self._process != _forks

    @property
    def is_orphan(self) -> bool:
        """Whether the loop that the manager belonged to is closed."""
        return self._loop is not None and self._loop.is_closed()

    def require_process(self) -> None:
        """Raise `BelayError` in another process than the manager's own."""
        if self._process != _forks:
            raise BelayError(
                "this manager belongs to the process that made it; a forked child must make its own, for other boards"
            )

    def require_here(self) -> None:
        """Raise `BelayError` in another event loop or process than the manager's own."""
        if self._process == _forks and _running_loop() is self._loop:
            return
        self.require_process()
        if _running_loop() is not self.loop:
            raise BelayError("this manager belongs to another event loop; make one in each, or use belay_py.sync")

    def spawn(self, work: Coroutine[None, None, None], name: str, member: Member | None = None) -> asyncio.Task[None]:
        """Run something in the background, for a device or for all; what it raises is logged."""
        task = self.loop.create_task(self._logged(work, name, member), name=f"belay {name}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: work.close())  # a loop that is shut down may cancel it before it begins
        return task

    async def _logged(self, work: Coroutine[None, None, None], name: str, member: Member | None) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  nobody waits for it, so the log is where it is told
            _log.exception("%s: failed", name, extra=None if member is None else member.about)

    # -- events -------------------------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens to the manager."""
        return bool(self._subscriptions)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Add a listener to all events of all sessions; return what takes it out again."""
        take_out = self._subscriptions.add(listener)
        self._watch_changes()

        def unsubscribe() -> None:
            take_out()
            self._watch_changes()

        return unsubscribe

    def _watch_changes(self) -> None:
        for member in self.members.values():
            member.watch_changes()

    def emit(self, event: SessionEvent, member: Member | None = None) -> None:
        """Tell an event to the manager's parts, and to who listens."""
        if member is not None:
            for observer in self.observers:
                observer(event, member)
        self._subscriptions.deliver(event)

    # -- devices ------------------------------------------------------------------------------------------------

    def add(
        self,
        key: str,
        options: DeviceSessionOptions,
        *,
        declared: bool = False,
        on_connect: Callable[[DeviceSession], Awaitable[object]] | None = None,
    ) -> Member:
        """Make a device known. Raises `SessionClosed` when the manager closes."""
        if self.plan.draining:
            raise SessionClosed("the manager is closing, or was closed; make a new one")
        effects = self.plan.add(key, tags=options.tags, pinned=options.pinned, now=self.time())
        place = self.plan.places[key]
        member = self.members[key] = Member(self, place, options, declared=declared, on_connect=on_connect)
        self.admission.perform(effects)
        return member

    def member(self, key: str) -> Member:
        """The device of that name. Raises `DeviceNotFound` with the nearest right one."""
        try:
            return self.members[key]
        except KeyError:
            raise unknown(key, self.members) from None

    def about(self, keys: Sequence[str]) -> About:
        """What records of the log carry that are about these devices: a session only where it is one."""
        member = self.members.get(keys[0]) if len(keys) == 1 else None
        return About(device_id=", ".join(keys)) if member is None else member.about

    def forget(self, member: Member) -> None:
        """Forget a device that nobody has; those who wait for it are told."""
        if self.members.get(member.key) is not member:
            return
        del self.members[member.key]
        member.forgotten = True
        lost, effects = self.plan.drop(member.key)
        self.admission.refuse(lost, lambda: SessionClosed(f"the session {member.key!r} was removed; create it anew"))
        self.admission.perform(effects)
        for observer in self.forgetting:
            observer(member)

    def forget_disposed(self, member: Member) -> bool:
        """Forget a device that was known only for its session, which is over; return whether it was one of these."""
        if member.declared or member.forgotten or member.session is not None or member.place.holder is not None:
            return False
        self.forget(member)
        return True

    # -- boards that come back, or are closed -------------------------------------------------------------------

    def checked_in(self, member: Member, claim: Claim) -> None:
        """Give a board on, or look after it first."""
        if claim.kind is not CLOSING:
            reason = self._close_at_checkin(member, claim)
            if reason is not None:
                self.close_board(member, self.plan.keep(claim, member.key, Kind.CLOSING, self.time()), reason)
                return
            reset = member.options.checkin == "soft_reset" and claim.kind is Kind.LEASE
            if (reset or not member.is_prepared) and member.is_usable:
                kept = self.plan.keep(claim, member.key, Kind.UPKEEP, self.time())
                self.spawn(
                    self._renew(member, kept, reset=reset), f"{member.key} is made ready for its next owner", member
                )
                return
        self.admission.release(claim, member.key)
        if member.session is None:
            self.forget_disposed(member)

    def _close_at_checkin(self, member: Member, claim: Claim) -> DisconnectReason | None:
        if not self.options.enable_session_pooling and claim.kind is Kind.LEASE and member.is_usable:
            return "requested"
        return "expired" if member.overdue else None

    async def _renew(self, member: Member, claim: Claim, *, reset: bool) -> None:
        session, limit = member.make_session(), member.options.connection_timeout
        async with Upkeep(member, claim):
            try:
                if reset:
                    await session.soft_reset(timeout=limit)
                if not member.is_prepared:
                    await member.prepare_again(self.time() + limit)
            except BelayError as error:  # its next owner gets it connected anew
                why = "%s could not be made ready for its next owner: %s"
                _log.warning(why, member.key, error, extra=member.about)
                await session._link.break_off(error)  # noqa: SLF001  a keeper and what it keeps

    def _evict(self, key: str, claim: Claim) -> None:
        self.counters.evictions += 1
        self.close_board(self.members[key], claim, "evicted")

    def close_board(self, member: Member, claim: Claim, reason: DisconnectReason) -> asyncio.Task[None]:
        """Disconnect a board that ``claim`` holds for it, in the background, and release the claim."""
        return self.spawn(self._disconnect(member, claim, reason), f"{member.key} is closed ({reason})", member)

    async def _disconnect(self, member: Member, claim: Claim, reason: DisconnectReason) -> None:
        try:
            if member.session is not None:
                _log.info("%s: is disconnected now: %s", member.key, reason, extra=member.about)
                await member.session._link.disconnect(reason)  # noqa: SLF001  the manager gives a reason
        finally:
            self.admission.release(claim, member.key)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise BelayError(
            "this manager is for an event loop, and none runs here; await it in one, or use belay_py.sync"
        ) from None


class Upkeep:
    """The manager's own use of a board that a claim of its own holds: the block's operations have the board."""

    def __init__(self, member: Member, claim: Claim) -> None:
        member.begin_lease(claim)
        self._standing = member.standing  # the session may be closed for good meanwhile
        self._group = self._standing.turn.group()
        self._last_used = self._standing.last_used
        self._group.adopt()

    async def __aenter__(self) -> None:
        self._group.join()

    async def __aexit__(self, *ending: object) -> None:
        self._group.leave()
        self._standing.last_used = self._last_used  # it counts as nobody's use
        self._group.end()
