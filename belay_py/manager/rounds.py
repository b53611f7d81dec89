"""What becomes due on a connected board that nobody uses: a heartbeat, a health check, its closing.

One timer for each board. When it fires, the board's latest use is looked at, and what is not due after all is put off;
so leases and operations, which happen far more often, do nothing for it.
"""

from __future__ import annotations

import functools
import logging
import math
from typing import TYPE_CHECKING, Final

from belay_py.errors import BelayError, Interrupted
from belay_py.manager.claims import USES, Claim, Kind
from belay_py.manager.health import HealthFinding, check
from belay_py.manager.pool import Upkeep
from belay_py.manager.readiness import LOOKS_BROKEN, give_a_sign

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from belay_py.events import DisconnectReason
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)

_AGAIN: Final = 5.0  # seconds until a board that somebody has is looked at again, for what is due meanwhile
_SOON: Final = 0.5  # seconds until one is looked at again that is to be closed, and is in use
_SPREAD: Final = 0.1  # of max_lifetime: boards that were connected together are not all closed together


class Rounds:
    """The timers of all connected boards of one manager."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._boards: dict[Member, _Board] = {}

    def begin(self, member: Member) -> None:
        """Watch a board that was just connected."""
        self.end(member)
        self._boards[member] = board = _Board(self._pool, member)
        self._set(board, self._pool.time())

    def end(self, member: Member) -> None:
        """Watch a board no more."""
        board = self._boards.pop(member, None)
        if board is not None and board.timer is not None:
            board.timer.cancel()

    def end_all(self) -> None:
        """Watch nothing any more."""
        for member in list(self._boards):
            self.end(member)

    def close_expired(self) -> list[asyncio.Task[None]]:
        """Close the boards that should be closed by now; return what waits for it."""
        now = self._pool.time()
        closed = [self._close_if_due(board, now) for board in list(self._boards.values())]
        return [task for task in closed if task is not None]

    # -- the timer ----------------------------------------------------------------------------------------------

    def _set(self, board: _Board, now: float) -> None:
        when = min(board.closes_at(now), board.asked_at())
        if board.timer is not None:
            board.timer.cancel()
        board.timer = None if when == math.inf else self._pool.loop.call_at(when, self._due, board, when)

    def _due(self, board: _Board, when: float) -> None:
        now = max(when, self._pool.time())  # loops fire a clock's tick too early
        if self._close_if_due(board, now) is None and not self._ask_if_due(board, now):
            self._set(board, now)

    # -- closing ------------------------------------------------------------------------------------------------

    def _close_if_due(self, board: _Board, now: float) -> asyncio.Task[None] | None:
        reason: DisconnectReason
        if board.expires_at <= now:
            reason = "expired"
        elif board.closes_at(now) <= now:
            reason = "idle"
        else:
            return None
        claim = self._take(board.member, f"the manager, which closes it ({reason})")
        if claim is not None:
            kept = self._pool.plan.keep(claim, board.member.key, Kind.CLOSING, now)
            return self._pool.close_board(board.member, kept, reason)
        if reason == "expired":
            board.expires_at = math.inf
            board.member.overdue = True  # it is closed when it comes back
        return None

    # -- asking -------------------------------------------------------------------------------------------------

    def _ask_if_due(self, board: _Board, now: float) -> bool:
        if board.asked_at() > now:
            return False
        if board.check_at <= now:
            quiet_at = board.member.place.last_used + board.member.options.check_after
            if quiet_at > now:
                board.check_at = quiet_at
                return False
            question, what = self._check, "a health check"
        else:
            question, what = self._beat, "a heartbeat"
        claim = self._take(board.member, f"the manager, for {what}")
        if claim is None:
            board.not_before = now + _AGAIN
            return False
        work = self._ask(board, claim, functools.partial(question, board), what)
        self._pool.spawn(work, f"{what} of {board.member.key}", board.member)
        return True

    async def _ask(self, board: _Board, claim: Claim, question: Callable[[], Awaitable[None]], what: str) -> None:
        member = board.member
        try:
            if not member.is_usable:  # it was lost in this moment
                self._pool.admission.release(claim, member.key)
                return
            link = member.make_session()._link  # noqa: SLF001  a keeper and what it keeps
            endings = link.endings
            async with Upkeep(member, claim):
                try:
                    await question()
                except Interrupted:
                    pass  # by somebody here: it says nothing of the board
                except BelayError as error:
                    if link.endings == endings:  # else it was disconnected by somebody, who wants it so
                        await self._failed(member, what, error)
        finally:
            if self._boards.get(member) is board:
                self._due(board, self._pool.time())

    async def _beat(self, board: _Board) -> None:
        self._pool.counters.heartbeats += 1
        await give_a_sign(board.member, math.inf)

    async def _check(self, board: _Board) -> None:
        member = board.member
        self._pool.counters.health_checks += 1
        board.check_at = self._pool.time() + member.options.health_check_interval
        before, member.link_errors = member.link_errors, member.make_session().statistics.link_errors
        member.finding = await check(member, before)

    async def _failed(self, member: Member, what: str, error: BelayError) -> None:
        self._pool.counters.failed_checks += 1
        _log.warning("%s: %s failed: %s", member.key, what, error, extra=member.about)
        member.finding = HealthFinding(device_id=member.key, ok=False, trouble=f"{what} failed: {error}")
        if isinstance(error, LOOKS_BROKEN) and member.is_usable:  # else everybody knows already
            await member.make_session()._link.break_off(error)  # noqa: SLF001  a keeper and what it keeps

    # -- internals ----------------------------------------------------------------------------------------------

    def _take(self, member: Member, holder: str) -> Claim | None:
        """A claim on a board that nobody has or wants."""
        claim = Claim(Kind.UPKEEP, (member.key,), holder=holder)
        if member.place.barred or not member.is_usable or self._pool.plan.draining:
            return None
        return claim if self._pool.plan.take(member.place, claim, self._pool.time()) else None


class _Board:
    """When what is due on one board, on the loop's clock."""

    __slots__ = ("_idle_for", "_standing", "check_at", "expires_at", "member", "not_before", "timer")

    def __init__(self, pool: Pool, member: Member) -> None:
        options, opened = member.options, pool.time()
        self.member = member
        self.timer: asyncio.TimerHandle | None = None
        self.expires_at = math.inf
        if options.max_lifetime is not None:
            lifetime = options.max_lifetime * (1 - _SPREAD * pool.random.random())
            self.expires_at = opened + lifetime + pool.options.cleanup_grace
        self.check_at = opened + options.health_check_interval if options.enable_health_checks else math.inf
        self.not_before = -math.inf
        """When to try again what somebody stood in the way of."""
        self._standing = member.standing
        self._idle_for = math.inf if options.pinned else options.idle_timeout + pool.options.cleanup_grace

    def closes_at(self, now: float) -> float:
        """When it is to be closed, or to be looked at again, if it is used no more from now on."""
        place = self.member.place
        idle_at = place.last_used + self._idle_for
        if place.queue or (place.holder is not None and place.holder.kind in USES):
            idle_at = now + max(self._idle_for, _SOON)  # its use ends later than now
        elif place.holder is not None:
            idle_at = max(idle_at, now + _SOON)
        return min(idle_at, self.expires_at)

    def asked_at(self) -> float:
        """When it is to be asked something, if it is used no more from now on."""
        options = self.member.options
        beat_at = self._standing.last_begun + options.heartbeat_interval if options.enable_heartbeat else math.inf
        return max(self.not_before, min(self.check_at, beat_at))
