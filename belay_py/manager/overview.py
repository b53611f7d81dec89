"""How a manager is and what it has done; and what it does by itself, done by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.manager.directory import Directory
from belay_py.manager.health import assess
from belay_py.manager.in_step import in_step
from belay_py.manager.journaling import begin_journal
from belay_py.manager.moving import take_over
from belay_py.manager.tally import Tally
from belay_py.manager.warming import warm_up
from belay_py.manager.watch import Watch
from belay_py.options import check_device_id, check_function

if TYPE_CHECKING:
    from belay_py.errors import BelayError
    from belay_py.journal import LeftBehind
    from belay_py.manager.health import ManagerHealth
    from belay_py.manager.pool import Pool
    from belay_py.manager.statistics import ManagerStatistics
    from belay_py.manager.warming import Progress


class Overview(Directory):
    """What of `DeviceSessionManager` looks at all sessions at once."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._tally = Tally(pool)
        self._watch = Watch(pool)

    def _begin(self) -> None:
        begins = not self._started
        if begins:
            self._pool.require_here()
            begin_journal(self._pool)
        super()._begin()
        if begins:
            self._watch.start()

    def statistics(self) -> ManagerStatistics:
        """What the manager has done since it was made, and how it stands; the numbers stand still.

        May be called in any thread, which waits for the manager's event loop then. Raises `SessionTimeout` when that
        does not answer within 5 seconds.
        """
        return in_step(self._pool, self._tally.snapshot)

    async def health(self) -> ManagerHealth:
        """Say how the manager and its boards are, from what the latest checks and events have told; nothing is asked.

        ``degraded``: a board is lost, in ERROR or in quarantine, its latest check has failed, or nine tenths of
        ``max_sessions`` are taken. ``unhealthy``: that is so of all boards, or the manager is closed.
        """
        return assess(self._pool)

    async def cleanup(self) -> int:
        """Close the sessions whose time is over, and drop the devices whose sessions were closed for good.

        Return how many there were. The manager does it by itself every ``cleanup_interval`` seconds.
        """
        self._begin()
        count, closing = self._watch.clean_up()
        if closing:
            await asyncio.wait(closing)
        return count

    async def warm_up(self, *device_ids: str, progress: Progress | None = None) -> dict[str, BelayError]:
        """Connect devices before they are needed, side by side; without names, those of the option ``warm_up``.

        ``progress`` is called after each one with how many are done, of how many, its name, and the error if it could
        not be connected. That stops none of the others: return all errors by the devices' names. Raises
        `DeviceNotFound` for a name that no device has.
        """
        self._begin()
        for device_id in device_ids:
            check_device_id(device_id)
        check_function("progress", progress)
        return await warm_up(self._pool, device_ids or self._pool.options.warm_up, progress)

    @property
    def found(self) -> tuple[LeftBehind, ...]:
        """What processes of the same journal had when they died, as it was found when this manager began.

        Each is told to one manager only. Empty without the option ``journal``.
        """
        journaling = self._pool.journaling
        return () if journaling is None else journaling.found

    async def take_over(self, *device_ids: str, timeout: float | None = None) -> None:
        """Connect devices that another process may still have, as soon as it lets go; without names, all.

        Nothing on the boards is restarted, unless the option ``reset`` says so: `DeviceSession.attached` tells whether
        they are as the journal knows them. ``timeout`` is seconds for all of it, by default ``lease_timeout``. Raises
        `DeviceBusy` when a board is not free by then, and what connecting raises.
        """
        self._begin()
        await take_over(self._pool, device_ids or self.devices(), timeout)

    def release_quarantine(self, device_id: str) -> bool:
        """Let a board be used again that is left alone since its link was lost again and again.

        Return whether it was in quarantine. Raises `DeviceNotFound`.
        """
        self._begin()
        check_device_id(device_id)
        return self._watch.quarantine.release(self._pool.member(device_id))
