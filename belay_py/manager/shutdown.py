"""Ending: one session, or the manager with all it has, each wholly and once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from belay_py.errors import SessionClosed
from belay_py.manager.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.events import DisconnectReason
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_log = logging.getLogger(__name__)


class Shutdown:
    """The endings of one manager."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._closing: asyncio.Task[None] | None = None

    # -- one session --------------------------------------------------------------------------------------------

    async def remove(self, member: Member, grace: float) -> None:
        """Forget a device, let its lease end for ``grace`` seconds, and close its session.

        A caller that is cancelled leaves it going on.
        """
        key, pool = member.key, self._pool
        pool.admission.why_barred[key] = lambda: SessionClosed(f"the session {key!r} is being removed; create it anew")
        lost, effects = pool.plan.bar(key)
        pool.admission.refuse(lost, pool.admission.why_barred[key])
        pool.admission.perform(effects)
        await asyncio.shield(pool.spawn(self._remove(member, grace), f"{key} is removed"))

    async def _remove(self, member: Member, grace: float) -> None:
        try:
            await self._wait_for_leases([member], grace)
            await self._discard(member, "requested")
        finally:
            self._pool.admission.why_barred.pop(member.key, None)

    async def discard(self, member: Member) -> None:
        """Close a session at once, whoever has it, and forget its device."""
        await asyncio.shield(self._pool.spawn(self._discard(member, "requested"), f"{member.key} is discarded"))

    async def _discard(self, member: Member, reason: DisconnectReason) -> None:
        if self._pool.members.get(member.key) is not member:
            return
        self._force([member])
        try:
            if member.session is not None:
                await member.session._link.close(reason)  # noqa: SLF001  the manager gives a reason
        finally:
            while member.place.holder is not None:  # what it did ends with its session
                await self._pool.admission.next_release()
            self._pool.forget(member)

    async def _wait_for_leases(self, members: Iterable[Member], grace: float) -> None:
        """Return when nobody but the manager has the boards, or after ``grace`` seconds."""
        try:
            async with asyncio.timeout(grace):
                while any(self._is_used(member) for member in members):
                    await self._pool.admission.next_release()
        except TimeoutError:
            used = [member.key for member in members if self._is_used(member)]
            _log.warning("%s: still in use after %g s, and ended now", ", ".join(used), grace)

    def _is_used(self, member: Member) -> bool:
        holder = member.place.holder
        return holder is not None and holder.kind in (Kind.LEASE, Kind.CALL)

    def _force(self, members: Iterable[Member]) -> None:
        """End the leases of some boards: their holders have nothing any more."""
        holders = {id(member.place.holder) for member in members}
        for lease in list(self._pool.leases.values()):
            if id(lease.claim) in holders:
                lease.release()

    # -- all of them --------------------------------------------------------------------------------------------

    async def close(self, grace: float) -> None:
        """See `DeviceSessionManager.close`."""
        if self._closing is None:
            for stop in self._pool.at_close:
                stop()
            self._pool.admission.refuse(
                self._pool.plan.drain(), lambda: SessionClosed("the manager is closing; make a new one")
            )
            self._closing = self._pool.spawn(self._close(grace), "manager closes")
        await asyncio.shield(self._closing)

    async def _close(self, grace: float) -> None:
        members = list(self._pool.members.values())
        _log.info("closing %d sessions", sum(member.session is not None for member in members))
        await self._wait_for_leases(members, grace)
        await asyncio.gather(*(self._discard(member, "shutdown") for member in members), return_exceptions=True)
        me = asyncio.current_task()
        if rest := [task for task in self._pool.tasks if task is not me]:
            await asyncio.wait(rest)
        _log.info("all sessions are closed")
