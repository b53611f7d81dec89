"""One device of a manager: its options, its session, and who has its board at the moment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from belay_py import events
from belay_py.devices.whereabouts import Whereabouts
from belay_py.errors import BelayError, BoardWasReset, ConnectionFailed, SessionClosed, SessionTimeout
from belay_py.manager.claims import CALL, Claim, Kind
from belay_py.manager.stopping import stop
from belay_py.session.about import About
from belay_py.session.keeping import keep
from belay_py.session.session import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.manager.claims import Place
    from belay_py.manager.health import HealthFinding
    from belay_py.manager.pool import Pool
    from belay_py.options import DeviceSessionOptions
    from belay_py.session.standing import Standing

_log = logging.getLogger(__name__)


class Member:
    """The keeper of one device's sessions, one after the other.

    ``declared`` says that the device stays known when its session is closed. ``on_connect`` prepares the board after
    each connect, before anybody gets it.
    """

    def __init__(
        self,
        pool: Pool,
        place: Place,
        options: DeviceSessionOptions,
        *,
        declared: bool,
        on_connect: Callable[[DeviceSession], Awaitable[object]] | None = None,
    ) -> None:
        self.key = place.key
        self.place = place
        """Where it stands in the plan."""
        self.options = options
        self.declared = declared
        self.session: DeviceSession | None = None
        self.claim: Claim | None = None
        """What has the turn of the session now."""
        self.forgotten = False
        """Whether the manager knows it no more."""
        self.is_ending = False
        """Whether its session is being closed for good."""
        self.overdue = False
        """Whether it is to be closed at its checkin: it was open for too long."""
        self.finding: HealthFinding | None = None
        """What the latest look at its board has found."""
        self.link_errors = 0
        """Those of its session, at the latest health check."""
        self.endings_at_loss = 0
        """How often it had been disconnected on purpose when its link was lost last."""
        self.is_prepared = True
        """Whether `on_connect`, and what it set up, has done its work in this life of the board's interpreter."""
        self._on_connect = on_connect
        self._preparing: asyncio.Timeout | None = None
        """The deadline of what prepares its board at the moment."""
        self._endings_before = 0
        """How often it had been disconnected on purpose when that began."""
        self._pool = pool
        self.whereabouts = Whereabouts(options.port, pool.comports)
        """Where its board is, and what is known of it, from one session to the next."""
        self.relies_on: int | None = None
        """The life of the board, by its boot epoch, on which who has the turn relies."""
        self.is_awaited = False
        """Whether its board was lost and is being connected again: whoever wants it waits for it."""
        self.was_lost = False
        """Whether its link has ended by itself, or its board could not be brought back into step."""
        self.was_unfit = False
        """Whether what the latest connect found is another board, or one that could not be prepared."""

    @property
    def standing(self) -> Standing:
        """The inside of its session, which is there."""
        assert self.session is not None, "a board is only claimed for a session"
        return self.session._standing  # noqa: SLF001  a keeper and what it keeps

    @property
    def about(self) -> About:
        """What records of the log carry that are about this device."""
        return About(device_id=self.key) if self.session is None else self.standing.counters.about

    @property
    def is_usable(self) -> bool:
        """Whether there is a session with a board at its prompt."""
        return self.session is not None and self.standing.usable

    def make_session(self) -> DeviceSession:
        """Return its session, a new one if there is none."""
        if self.session is None:
            self.session = DeviceSession(self.options, device_id=self.key)
            self.link_errors = 0
            self.standing.whereabouts = self.whereabouts
            self.standing.instruments = self._pool.instruments
            keep(self.session, self)
            self.watch_changes()
            self._pool.emit(events.SessionCreated(session=self.session), self)
        return self.session

    def tell(self, kind: type[events.SessionEvent], **about: Any) -> None:
        """Tell an event of its session, which is there."""
        assert self.session is not None, "what happens, happens to a session"
        self.session._listeners.emit(kind, **about)  # noqa: SLF001  a keeper and what it keeps

    def watch_changes(self) -> None:
        """Follow the session's changes of state as long as anybody listens to the manager."""
        if self.session is not None:
            self.session._listeners.watch_changes()  # noqa: SLF001  a keeper and what it keeps

    # -- the keeper of its session ------------------------------------------------------------------------------

    @property
    def wants_changes(self) -> bool:
        """See `Keeper`."""
        return self._pool.is_watched

    def take(self) -> bool:
        """See `Keeper`: one operation outside of leases takes a claim for its own length."""
        if self.forgotten:
            return True  # its session is closed for good, which is what the operation will say
        if self.place.holder is not None:
            return False
        claim = Claim(CALL, (self.key,))
        if not self._pool.plan.take(self.place, claim, self._pool.time()):
            return False
        self.claim = claim
        self._pool.counters.calls += 1
        return True

    async def wait(self, deadline: float) -> None:
        """See `Keeper`."""
        self._pool.require_here()
        if self.forgotten:
            return
        claim = Claim(Kind.CALL, (self.key,))
        await self._pool.admission.admit(claim, deadline)
        self.claim = claim
        self._pool.counters.calls += 1

    def release(self) -> None:
        """See `Keeper`."""
        claim, self.claim = self.claim, None
        self.relies_on = None
        if claim is not None:
            self._pool.checked_in(self, claim)

    async def reopen(self, deadline: float) -> None:
        """See `Keeper`."""
        self._pool.require_here()
        assert self.session is not None, "a session that is used is there"
        standing = self.standing
        if not standing.lifecycle.allows("connect") or (self.was_lost and not self.options.enable_auto_reconnect):
            return
        if (why := self._pool.quarantined.get(self.key)) is not None:
            raise why()
        epoch = self.relies_on
        limit = min(deadline, self._pool.time() + self.options.connection_timeout)
        # Who holds a lease is told at once that his board is away: he keeps it from others while he waits.
        patient = self.is_awaited and self.claim is not None and self.claim.kind is Kind.CALL
        await self.session._link.connect_in_turn(limit, patient=patient)  # noqa: SLF001  a keeper and what it keeps
        if epoch is not None and standing.boot_epoch != epoch:
            self.relies_on = standing.boot_epoch
            raise BoardWasReset(
                "the link was lost, and is there again, but the board has restarted meanwhile: its variables are gone, "
                "and this was not sent",
                outcome="not_started",
            )

    def before_connect(self) -> None:
        """See `Keeper`."""
        if self._pool.journaling is not None:
            self._pool.journaling.before_connect(self)

    @property
    def prepares(self) -> bool:
        """See `Keeper`."""
        return (self._pool.on_connect or self._on_connect) is not None

    async def set_up(self, deadline: float) -> None:
        """See `Keeper`."""
        try:
            await self._set_up(deadline)
        except SessionClosed:
            raise  # somebody ended it, which says nothing of the board
        except BelayError:
            self.was_unfit = True
            self._pool.passing_over.begin(self)
            raise

    async def _set_up(self, deadline: float) -> None:
        assert self.session is not None, "a session that connects is there"
        if self._pool.journaling is not None:
            await self._pool.journaling.connected(self)  # nobody uses a board that the journal does not know of
        if self._preparing is not None:
            return  # it is on_connect itself that connects anew, and goes on to prepare the board
        await asyncio.sleep(0)  # listeners that were told of the connection queue before whoever asks later
        await self._prepare_all(deadline)

    async def prepare_again(self, deadline: float) -> None:
        """Prepare a board that has restarted since; the caller holds it. Raises what `set_up` raises."""
        turn = self.standing.turn
        await turn.wait(deadline)
        try:
            await self._prepare_all(deadline)
        finally:
            turn.release()

    async def _prepare_all(self, deadline: float) -> None:
        for prepare in (self._pool.on_connect, self._on_connect):
            if prepare is not None:
                await self._prepare(prepare, deadline)
        if self.standing.prepare is not None:
            await self.standing.prepare(deadline)
        self.is_prepared = True

    async def _prepare(self, prepare: Callable[[DeviceSession], Awaitable[object]], deadline: float) -> None:
        session = self.session
        assert session is not None, "a session that connects is there"
        try:
            async with session._standing.turn.lent() as group, asyncio.timeout_at(deadline) as limit:  # noqa: SLF001  a keeper and what it keeps
                self._preparing = limit
                self._endings_before = session._link.endings  # noqa: SLF001  a keeper and what it keeps
                try:
                    await prepare(session)
                finally:
                    self._preparing = None
                    if group.refuse():
                        left = stop(self, session, group, "on_connect")
                        self._pool.spawn(left, f"{self.key} is stopped at the end of on_connect", self)
        except BelayError:
            raise
        except TimeoutError as error:
            if self._was_ended(session):
                raise SessionClosed(f"{self.key!r} was disconnected while on_connect prepared it") from None
            if not limit.expired():
                raise _failed(self.key, error) from error
            raise SessionTimeout(f"on_connect did not end before the deadline for connecting {self.key!r}") from None
        except Exception as error:
            raise _failed(self.key, error) from error

    def _was_ended(self, session: DeviceSession) -> bool:
        """Whether somebody has disconnected the session since `on_connect` began."""
        return session._link.endings != self._endings_before  # noqa: SLF001  a keeper and what it keeps

    def note(self, event: events.SessionEvent) -> None:
        """See `Keeper`."""
        pool = self._pool
        match event:
            case _ if self.session is None or event.session is not self.session:
                pass  # an earlier session's last words
            case events.SessionConnected():
                pool.plan.opened(self.key)
                self.overdue = False
                self.was_lost = self.was_unfit = False
                pool.passing_over.end(self)
            case events.SessionDisconnected():
                self.was_lost = event.reason == "unexpected"
                self.was_unfit = self.was_unfit or event.reason == "identity changed"
                if self.was_lost or self.was_unfit:
                    pool.passing_over.begin(self)
                if self.was_lost and self.claim is not None and self.relies_on is None:
                    self.relies_on = self.standing.boot_epoch  # several operations of one call rely on it too
                limit = self._preparing
                if limit is not None and not limit.expired() and self._was_ended(self.session):
                    limit.reschedule(pool.time())  # nobody wants the board prepared any more
                if not self.forgotten:  # else its place is another's, or nobody's
                    pool.admission.closed(self.key)
            case events.BoardReset():
                # What on_connect itself restarts it goes on to prepare.
                has_work = self.prepares or self.standing.prepare is not None
                self.is_prepared = self._preparing is not None or not has_work
            case events.SessionError():
                self.was_lost = True
                pool.passing_over.begin(self)
                pool.spawn(self._closed_after_error(), f"{self.key} closes after an error", self)
            case events.SessionDisposed():
                self.standing.keeper = None  # it is connected no more, whoever still has it
                self.session = None
        pool.emit(event, self)
        if self.session is None:
            pool.forget_disposed(self)

    async def _closed_after_error(self) -> None:
        channel = None if self.session is None else self.standing.channel
        if channel is not None:
            await channel.closed()
            if self.session is not None and self.standing.channel is not channel:
                return  # it was connected again meanwhile
        if not self.forgotten:  # else its place is another's, or nobody's
            self._pool.admission.closed(self.key)

    # -- leases -------------------------------------------------------------------------------------------------

    def begin_lease(self, claim: Claim) -> DeviceSession:
        """Note who has the turn now, which was granted by the plan; return the session."""
        session = self.session or self.make_session()
        self.claim = claim
        return session


def _failed(key: str, error: Exception) -> ConnectionFailed:
    return ConnectionFailed(f"on_connect failed for {key!r}: {type(error).__name__}: {error}")
