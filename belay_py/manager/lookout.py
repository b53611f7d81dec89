"""Looking out for boards that were lost: whether their ports are there again. Nothing is opened to find out.

While no board is lost, nothing runs. While one is, all that are wanted are looked for together, once a second, beside
the loop; udev's messages, where there are any, and a board that has just appeared make the next look come sooner.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from belay_py.devices.discovery import listed_once
from belay_py.devices.hotplug import SETTLE, Arrival
from belay_py.devices.udev import port_events
from belay_py.errors import ConnectionFailed
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from belay_py.devices.whereabouts import Whereabouts
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

INTERVAL: Final = 1.0
"""Seconds between two looks. One costs some 10 ms of a thread, where there is USB."""


class Lookout:
    """Who is looked for, and the task that looks. ``arrived`` is told of each board that is there again.

    ``is_wanted`` says, before each look, whether a board is still to be looked for.
    """

    def __init__(self, pool: Pool, arrived: Callable[[Member], None], is_wanted: Callable[[Member], bool]) -> None:
        self._pool = pool
        self._arrived = arrived
        self._is_wanted = is_wanted
        self._wanted: dict[Member, Arrival] = {}
        self._task: asyncio.Task[None] | None = None
        self._kick: asyncio.Future[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is looked for."""
        return self._task is None

    def watch(self, member: Member) -> None:
        """Look for a board from now on, as long as it is wanted."""
        if not member.whereabouts.can_be_seen or member in self._wanted:
            return
        self._wanted[member] = Arrival()
        if self._task is None:
            self._task = task = self._pool.spawn(self._run(), "looks out for lost boards")
            task.add_done_callback(self._over)

    def stop(self) -> None:
        """Look for nothing any more."""
        self._wanted.clear()
        if self._task is not None:
            self._task.cancel()

    def _over(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
            self._wanted.clear()

    async def _run(self) -> None:
        events = port_events() if getattr(self._pool.loop, "refuse_real_time", None) is None else None
        if events is not None:
            self._pool.loop.add_reader(events.fileno(), self._told, events.drain)
        try:
            while await self._look():
                near = any(arrival.is_near for arrival in self._wanted.values())
                await self._pause(SETTLE if near else INTERVAL)
        finally:
            if events is not None:
                self._pool.loop.remove_reader(events.fileno())
                events.close()

    async def _look(self) -> bool:
        """Look once for all that are wanted; return whether any still is."""
        for member in [member for member in self._wanted if not self._is_wanted(member)]:
            del self._wanted[member]
        if not self._wanted:
            # Not at the end of the task: whoever is lost in between would be looked for by nobody.
            self._task = None
            return False
        boards = {member: member.whereabouts for member in self._wanted}
        if all(board.comports is not None for board in boards.values()):
            traces = {member: board.trace() for member, board in boards.items()}
        else:
            try:
                traces = await offload(partial(_traces, boards), lambda _: None, name="belay looking for boards")
            except ConnectionFailed:  # no thread is to be had
                return True
        now = self._pool.time()
        for member, trace in traces.items():
            arrival = self._wanted.get(member)
            if arrival is not None and arrival.seen(trace, now) and self._is_wanted(member):
                self._arrived(member)
        return True

    def _told(self, drain: Callable[[], bool]) -> None:
        if drain() and self._kick is not None and not self._kick.done():
            self._kick.set_result(None)

    async def _pause(self, seconds: float) -> None:
        self._kick = kick = self._pool.loop.create_future()
        try:
            async with asyncio.timeout(seconds):
                await kick
        except TimeoutError:
            pass
        finally:
            self._kick = None


def _traces(boards: Mapping[Member, Whereabouts]) -> dict[Member, str | None]:
    comports = listed_once()
    return {member: board.trace(comports) for member, board in boards.items()}
