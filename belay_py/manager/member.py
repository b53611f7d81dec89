"""One device of a manager: its options, its session, and who has its board at the moment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from belay_py import events
from belay_py.devices.identity import makes_its_board
from belay_py.errors import BelayError, BoardWasReset, ConnectionFailed, IdentityChanged, SessionTimeout
from belay_py.manager.claims import CALL, Claim, Kind
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
        self.opened_at = 0.0
        """When it was connected, on the loop's clock."""
        self.overdue = False
        """Whether it is to be closed at its checkin: it was open for too long."""
        self.finding: HealthFinding | None = None
        """What the latest look at its board has found."""
        self.link_errors = 0
        """Those of its session, at the latest health check."""
        self.endings_at_loss = 0
        """How often it had been disconnected on purpose when its link was lost last."""
        self._on_connect = on_connect
        self._pool = pool
        self.unique_id: str | None = None
        """The board's, once it was connected."""
        self.relies_on: int | None = None
        """The life of the board, by its boot epoch, on which who has the turn relies."""
        self.was_lost = False
        """Whether its link has ended by itself, or its board could not be brought back into step."""

    @property
    def standing(self) -> Standing:
        """The inside of its session, which is there."""
        assert self.session is not None, "a board is only claimed for a session"
        return self.session._standing  # noqa: SLF001  a keeper and what it keeps

    @property
    def is_usable(self) -> bool:
        """Whether there is a session with a board at its prompt."""
        return self.session is not None and self.standing.usable

    def make_session(self) -> DeviceSession:
        """Return its session, a new one if there is none."""
        if self.session is None:
            self.session = DeviceSession(self.options, device_id=self.key)
            self.link_errors = 0
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
        await self.session._link.connect_in_turn(limit)  # noqa: SLF001  a keeper and what it keeps
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

    async def set_up(self, deadline: float) -> None:
        """See `Keeper`: look whether it is the same board as before, and prepare it."""
        assert self.session is not None, "a session that connects is there"
        found = self.session.info.unique_id
        if found is not None and self.unique_id not in (None, found) and not makes_its_board(self.options.port):
            expected, self.unique_id = self.unique_id or "", None  # the next connect takes whatever is there
            raise IdentityChanged(
                f"the board of {self.key!r} was {expected}, and now {found} is at {self.options.port}; plug the right "
                "one in, or connect() again to go on with this one",
                expected=expected,
                found=found,
            )
        self.unique_id = found or self.unique_id
        if self._pool.journaling is not None:
            await self._pool.journaling.settle()  # nobody uses a board that the journal does not know of
        await asyncio.sleep(0)  # listeners that were told of the connection queue before whoever asks later
        for prepare in (self._pool.on_connect, self._on_connect):
            if prepare is not None:
                await self._prepare(prepare, deadline)

    async def _prepare(self, prepare: Callable[[DeviceSession], Awaitable[object]], deadline: float) -> None:
        assert self.session is not None, "a session that connects is there"
        try:
            async with self.standing.turn.lent(), asyncio.timeout_at(deadline):
                await prepare(self.session)
        except BelayError:
            raise
        except TimeoutError:
            raise SessionTimeout(f"on_connect did not end before the deadline for connecting {self.key!r}") from None
        except Exception as error:
            raise ConnectionFailed(f"on_connect failed for {self.key!r}: {type(error).__name__}: {error}") from error

    def note(self, event: events.SessionEvent) -> None:
        """See `Keeper`."""
        pool = self._pool
        match event:
            case _ if event.session is not self.session:
                pass  # an earlier session's last words
            case events.SessionConnected():
                pool.plan.opened(self.key)
                self.opened_at = pool.time()
                self.overdue = False
                self.was_lost = False
            case events.SessionDisconnected():
                self.was_lost = event.reason == "unexpected"
                if self.was_lost and self.claim is not None and self.relies_on is None:
                    self.relies_on = self.standing.boot_epoch  # several operations of one call rely on it too
                if not self.forgotten:  # else its place is another's, or nobody's
                    pool.admission.closed(self.key)
            case events.SessionError():
                self.was_lost = True
                pool.spawn(self._closed_after_error(), f"{self.key} closes after an error")
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
        if self.key in self._pool.plan.places:
            self._pool.admission.closed(self.key)

    # -- leases -------------------------------------------------------------------------------------------------

    def begin_lease(self, claim: Claim) -> DeviceSession:
        """Note who has the turn now, which was granted by the plan; return the session."""
        session = self.session or self.make_session()
        self.claim = claim
        return session
