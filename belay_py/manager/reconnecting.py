"""Lost boards are connected again: a few attempts with growing, random delays, and one word when they have failed.

An attempt holds a claim on its board like everything that uses one, so there is one attempt at a time. A lease or a
call that comes meanwhile connects by itself, and ends the attempts when it succeeds. Whether the board that is found is
the one that was lost is decided in `Link`, for every connect.

Attempts that find no port count like all others, so that somebody hears of it. But the lookout goes on: a board whose
port appears is tried at once, and, after the attempts have been given up, in a new series.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from belay_py import events
from belay_py.errors import BelayError, IdentityChanged
from belay_py.manager.claims import USES, Claim, Kind
from belay_py.manager.lookout import Lookout
from belay_py.manager.pool import Upkeep
from belay_py.policies import backoff

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)


class Reconnection:
    """The attempts of one manager, one series for each lost board."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._series: dict[Member, _Series] = {}
        self._lookout = Lookout(pool, self._arrived, self._is_lost)

    def begin(self, member: Member) -> None:
        """Connect a board again that was lost, unless that is not wanted.

        Either a handshake has passed since the last attempts, or it was away and is there again: these are counted
        from 1.
        """
        options = member.options
        if (
            not options.enable_auto_reconnect
            or not options.max_reconnect_attempts
            or member.session is None
            or member in self._series
            or self._pool.plan.draining
        ):
            return
        self._series[member] = series = _Series(self._pool, member)
        member.is_awaited = True
        self._pool.spawn(self._run(member, series), f"{member.key} is connected again", member)
        self._lookout.watch(member)

    def _is_lost(self, member: Member) -> bool:
        """Whether a board is to be looked out for: nobody has disconnected it, connected it, or forgotten it."""
        session = member.session
        return (
            not member.forgotten
            and session is not None
            and member.was_lost
            and not member.is_usable
            and session._link.endings == member.endings_at_loss  # noqa: SLF001  a keeper and what it keeps
        )

    def _arrived(self, member: Member) -> None:
        """Its port is there again."""
        if self.wake(member.key) or member.key in self._pool.quarantined:
            return
        _log.info("%s: its port is there again", member.key, extra=member.about)
        self.begin(member)

    async def _run(self, member: Member, series: _Series) -> None:
        try:
            await series.run()
        finally:
            if self._series.get(member) is series:
                del self._series[member]
                member.is_awaited = False

    def wake(self, key: str) -> bool:
        """Let an attempt that waits for its time go at once; return whether there was one. For ports that appear."""
        member = self._pool.members.get(key)
        series = None if member is None else self._series.get(member)
        if series is not None:
            series.signal()
        return series is not None

    def connected(self, member: Member) -> None:
        """Note that a handshake has passed, whoever wanted it."""
        if member in self._series:
            self._series[member].signal()

    def stop(self, member: Member) -> None:
        """End the attempts to connect a board."""
        series = self._series.pop(member, None)
        if series is not None:
            member.is_awaited = False
            series.stop()

    def stop_all(self) -> None:
        """End all attempts."""
        for member in list(self._series):
            self.stop(member)
        self._lookout.stop()


class _Series:
    """The attempts to connect one board, until one succeeds, the last one has failed, or nobody wants them."""

    def __init__(self, pool: Pool, member: Member) -> None:
        assert member.session is not None, "a board is only lost to a session"
        self._pool = pool
        self._member = member
        self._session = member.session
        self._link = self._session._link  # noqa: SLF001  a keeper and what it keeps
        self._endings = self._link.endings
        self._signal = pool.loop.create_future()
        self._stopped = False

    def signal(self) -> None:
        """Let whatever it waits for end now."""
        if not self._signal.done():
            self._signal.set_result(None)

    def stop(self) -> None:
        """Make no further attempt."""
        self._stopped = True
        self.signal()

    @property
    def _is_over(self) -> bool:
        return (
            self._stopped
            or self._member.session is not self._session
            or self._link.endings != self._endings  # it was disconnected by somebody, who wants it so
            or self._session._standing.usable  # noqa: SLF001  a keeper and what it keeps
        )

    async def run(self) -> None:
        """Make the attempts, and tell if all have failed."""
        options = self._member.options
        error: BelayError | None = None
        attempt = 0
        while attempt < options.max_reconnect_attempts:
            await self._until_free()
            if self._is_over:
                return
            delay = backoff(attempt, options.reconnect_delay, options.max_reconnect_delay, self._pool.random.random)
            attempt += 1
            about = self._member.about
            _log.info("%s: attempt %d to connect again, in %.3g s", self._member.key, attempt, delay, extra=about)
            self._member.tell(events.Reconnecting, attempt=attempt, delay=delay)
            await self._pause(delay)
            claim = await self._claim()
            if claim is None:
                return
            error = await self._attempt(claim)
            if error is None or self._is_over:
                return
            if isinstance(error, IdentityChanged):
                break
        assert error is not None, "there is one attempt at least"
        self._give_up(attempt, error)

    async def _until_free(self) -> None:
        """Wait until no lease or call has the board: who has it connects by himself."""
        place = self._member.place
        while not self._is_over and place.holder is not None and place.holder.kind in USES:
            await self._either(self._pool.admission.next_release())

    async def _claim(self) -> Claim | None:
        """Wait until the board can be had, with those who wait for it first; None when there is nothing to do."""
        pool, key = self._pool, self._member.key
        while not self._is_over:
            claim = Claim(Kind.UPKEEP, (key,), holder="the manager, which connects it again")
            if pool.plan.take(self._member.place, claim, pool.time()):
                return claim
            await self._either(pool.admission.next_release())
        return None

    async def _attempt(self, claim: Claim) -> BelayError | None:
        pool, member = self._pool, self._member
        told = member.whereabouts.told
        try:
            async with Upkeep(member, claim):
                await self._link.connect(pool.time() + member.options.connection_timeout)
        except IdentityChanged as error:
            member.whereabouts.told = told  # an event tells nobody who then goes on
            return error
        except BelayError as error:  # what is raised by others' set-up is one, too
            return error
        pool.counters.reconnects += 1
        _log.info("%s: connected again", member.key, extra=member.about)
        return None

    def _give_up(self, attempts: int, error: BelayError) -> None:
        self._pool.counters.reconnect_failures += 1
        _log.warning(
            "%s: not connected again after %d attempts; its next use, or its port when it appears, tries anew. %s",
            self._member.key,
            attempts,
            error,
            extra=self._member.about,
        )
        self._member.tell(events.ReconnectFailed, attempts=attempts, error=error)

    async def _pause(self, seconds: float) -> None:
        if self._is_over:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._signal
        except TimeoutError:
            pass
        self._renew()

    async def _either(self, work: Coroutine[None, None, None]) -> None:
        """Wait for something, or for the signal."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, self._signal], return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
        self._renew()

    def _renew(self) -> None:
        if self._signal.done():
            self._signal = self._pool.loop.create_future()
