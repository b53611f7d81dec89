"""Leases that are held for too long: told once, with the place that took them."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)


class Leaks:
    """Looks at the leases when the oldest one may be due.

    A lease that is taken later than a look is due later than ``leak_after`` seconds after it, so looking costs the
    leases nothing and is exact all the same.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look when the first lease may be due."""
        if self._pool.options.leak_after is not None:
            self._look_at(self._pool.time() + self._pool.options.leak_after)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_at(self, when: float) -> None:
        self._timer = self._pool.loop.call_at(when, self._look, when)

    def _look(self, now: float) -> None:
        pool = self._pool
        after = pool.options.leak_after
        assert after is not None, "without it there is no timer"
        following = now + after
        for lease in list(pool.leases.values()):
            if lease.is_reported:
                continue
            due = lease.since + after
            if due > now:
                following = min(following, due)
                continue
            pool.counters.leases_leaked += 1
            held = now - lease.since
            _log.warning(
                "%s: leased for %g s at %s and not given back; end the `async with` block there, or raise leak_after%s",
                ", ".join(lease.claim.granted),
                held,
                lease.claim.holder,
                f"; it was taken here:\n{lease.stack}" if lease.stack else "",
                extra=pool.about(lease.claim.granted),
            )
            lease.report(held)
        self._look_at(following)


def stack_of(frame: FrameType) -> str:
    """The stack that led to a frame, as text. It costs 40 times what a lease costs, so it is asked for."""
    return "".join(traceback.format_stack(frame))
