"""Boards that did not work of late: leases by tags pass over them for a while, when enough others fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.errors import BelayError, SessionClosed
from belay_py.manager.claims import Claim

if TYPE_CHECKING:
    import asyncio

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool


class PassingOver:
    """The boards that one manager has shunned, each until it is connected, or ``max_reconnect_delay`` seconds long.

    Then one lease may try it again; without that it would be left out for good where nothing else connects it.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._timers: dict[Member, asyncio.TimerHandle] = {}
        pool.forgetting.append(self._forget)
        pool.at_close.append(self._stop)

    def begin(self, member: Member) -> None:
        """Pass over a board that was lost, or could not be connected or prepared."""
        pool = self._pool
        if member.forgotten or pool.plan.draining:
            return
        self._forget(member)
        self._timers[member] = pool.loop.call_later(member.options.max_reconnect_delay, self.end, member)
        pool.admission.perform(pool.plan.shun(member.key, shunned=True))

    def end(self, member: Member) -> None:
        """Pass over it no more."""
        if member in self._timers:
            self._forget(member)
            self._pool.admission.perform(self._pool.plan.shun(member.key, shunned=False))

    def instead_of(self, claim: Claim, error: BaseException) -> Claim | None:
        """Return a claim on other boards in place of one whose boards were not got ready, if there are others."""
        plan = self._pool.plan
        if (
            claim.keys
            # A SessionClosed is about the lease, and a cancellation about who wanted it: neither about a board.
            or not isinstance(error, BelayError)
            or isinstance(error, SessionClosed)
            or not any(key in plan.places and plan.places[key].shunned for key in claim.granted)
            or not plan.has_choice(claim)
        ):
            return None
        return Claim(claim.kind, tags=claim.tags, count=claim.count, holder=claim.holder)

    def _forget(self, member: Member) -> None:
        timer = self._timers.pop(member, None)
        if timer is not None:
            timer.cancel()

    def _stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
