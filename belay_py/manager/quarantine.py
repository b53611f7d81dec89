"""Boards whose links are lost again and again: they are left alone for a while, and say so."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from belay_py import events
from belay_py.errors import BelayError, CircuitOpen

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)


class Quarantine:
    """Counts the losses of each board, and bars it from everybody when there are too many.

    ``on_end`` is called with a board that may be used again.
    """

    def __init__(self, pool: Pool, on_end: Callable[[Member], None]) -> None:
        self._pool = pool
        self._on_end = on_end
        self._losses: dict[Member, deque[float]] = {}
        self._timers: dict[Member, asyncio.TimerHandle] = {}

    def lost(self, member: Member) -> bool:
        """Count a lost link; return whether the board is left alone now."""
        options, now = self._pool.options, self._pool.time()
        if not options.quarantine_after or member.forgotten:
            return False
        losses = self._losses.setdefault(member, deque(maxlen=options.quarantine_after))
        losses.append(now)
        if member in self._timers:
            return True
        if len(losses) < options.quarantine_after or now - losses[0] > options.quarantine_window:
            return False
        self._begin(member, len(losses), now)
        return True

    def _begin(self, member: Member, losses: int, now: float) -> None:
        pool, key = self._pool, member.key
        seconds, window = pool.options.quarantine_time, pool.options.quarantine_window
        until = now + seconds

        def why() -> BelayError:
            left = max(0.0, until - pool.time())
            return CircuitOpen(
                f"{key} is in quarantine for {left:.0f} s more: its link was lost {losses} times within {window:g} s; "
                f"see to its cable and its power, then wait, or release_quarantine({key!r})",
                retry_after=left,
            )

        pool.quarantined[key] = why
        self._timers[member] = pool.loop.call_at(until, self.release, member)
        if key not in pool.admission.why_barred:  # else it is being removed, which is for good
            pool.admission.why_barred[key] = why
            refused, effects = pool.plan.bar(key)
            pool.admission.refuse(refused, why)
            pool.admission.perform(effects)
        pool.counters.quarantines += 1
        _log.warning(
            "%s: its link was lost %d times within %g s; it is left alone for %g s. See to its cable and its power",
            key,
            losses,
            window,
            seconds,
            extra=member.about,
        )
        pool.loop.call_soon(self._tell, member, losses, seconds)  # after the event of the loss

    def _tell(self, member: Member, losses: int, seconds: float) -> None:
        if member.session is not None:
            member.tell(events.Quarantined, losses=losses, seconds=seconds)

    def release(self, member: Member) -> bool:
        """Let everybody have a board again, and forget its losses; return whether it was in quarantine."""
        pool, key = self._pool, member.key
        timer = self._timers.pop(member, None)
        self._losses.pop(member, None)
        if timer is None:
            return False
        timer.cancel()
        why = pool.quarantined.pop(key, None)
        if member.forgotten:
            return False
        _log.info("%s: its quarantine is over", key, extra=member.about)
        if pool.admission.why_barred.get(key) is why:
            del pool.admission.why_barred[key]
            pool.admission.perform(pool.plan.unbar(key))
        self._on_end(member)
        return True

    def forget(self, member: Member) -> None:
        """Drop what was counted of a device that is known no more."""
        self._losses.pop(member, None)
        timer = self._timers.pop(member, None)
        if timer is not None:
            timer.cancel()
            why = self._pool.quarantined.pop(member.key, None)
            if self._pool.admission.why_barred.get(member.key) is why:
                del self._pool.admission.why_barred[member.key]

    def stop(self) -> None:
        """End all timers: the manager closes."""
        for timer in self._timers.values():
            timer.cancel()
