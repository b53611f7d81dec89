"""Watching: which event of a session sets what in motion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from belay_py import events
from belay_py.manager.leaks import Leaks
from belay_py.manager.quarantine import Quarantine
from belay_py.manager.reconnecting import Reconnection
from belay_py.manager.rounds import Rounds
from belay_py.manager.warming import warm_up

if TYPE_CHECKING:
    import asyncio

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)


class Watch:
    """Everything that a manager does by itself, from its first use until it closes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.rounds = Rounds(pool)
        self.reconnection = Reconnection(pool)
        self.quarantine = Quarantine(pool, self._reconnect)
        self._leaks = Leaks(pool)
        self._cleaner: asyncio.TimerHandle | None = None
        pool.observers.append(self._note)
        pool.forgetting.append(self._forgotten)
        pool.at_close.append(self._stop)

    def start(self) -> None:
        """Begin. Nothing is waited for."""
        self._leaks.start()
        self._set_cleaner()
        if self._pool.options.warm_up:
            self._pool.spawn(self._warm_up(), "warm-up")

    def _stop(self) -> None:
        self.rounds.end_all()
        self.reconnection.stop_all()
        self.quarantine.stop()
        self._leaks.stop()
        if self._cleaner is not None:
            self._cleaner.cancel()

    async def _warm_up(self) -> None:
        for key, error in (await warm_up(self._pool, self._pool.options.warm_up)).items():
            _log.warning("%s: not connected at the start: %s", key, error, extra=self._pool.about([key]))

    # -- events -------------------------------------------------------------------------------------------------

    def _note(self, event: events.SessionEvent, member: Member) -> None:
        if member.session is not None and event.session is not member.session:
            return  # an earlier session's last words
        match event:
            case events.SessionConnected():
                if member.finding is not None and not member.finding.ok:
                    member.finding = None
                self.reconnection.connected(member)
                if not self._pool.plan.draining:
                    self.rounds.begin(member)
            case events.SessionDisconnected():
                self.rounds.end(member)
                if event.reason == "unexpected":
                    self._lost(member)
            case events.SessionError():
                self.rounds.end(member)
                if member.place.open:  # else it is a connect that has failed
                    self._lost(member)
            case events.SessionDisposed():
                self.reconnection.stop(member)

    def _lost(self, member: Member) -> None:
        member.endings_at_loss = _endings(member)
        if self.quarantine.lost(member):
            self.reconnection.stop(member)
        else:
            self.reconnection.begin(member)

    def _reconnect(self, member: Member) -> None:
        """Try a board again whose quarantine is over."""
        if member.was_lost and not member.is_usable and _endings(member) == member.endings_at_loss:
            self.reconnection.begin(member)

    def _forgotten(self, member: Member) -> None:
        self.reconnection.stop(member)
        self.quarantine.forget(member)

    # -- cleanup ------------------------------------------------------------------------------------------------

    def _set_cleaner(self) -> None:
        self._cleaner = self._pool.loop.call_later(self._pool.options.cleanup_interval, self._clean_up_again)

    def _clean_up_again(self) -> None:
        self.clean_up()
        self._set_cleaner()

    def clean_up(self) -> tuple[int, list[asyncio.Task[None]]]:
        """Close what should be closed by now, and drop what is over; return how many, and what closes them."""
        pool = self._pool
        dropped = sum(pool.forget_disposed(member) for member in list(pool.members.values()))
        closing = self.rounds.close_expired()
        count = dropped + len(closing)
        pool.counters.cleanup_runs += 1
        pool.counters.cleaned_up += count
        _log.log(
            logging.INFO if count else logging.DEBUG,
            "cleanup: %d sessions closed, %d devices dropped, %d open",
            len(closing),
            dropped,
            sum(place.open for place in pool.plan.places.values()) - len(closing),
        )
        return count, closing


def _endings(member: Member) -> int:
    return 0 if member.session is None else member.session._link.endings  # noqa: SLF001  a keeper and what it keeps
