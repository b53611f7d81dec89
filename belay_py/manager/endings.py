"""Ending one session of a manager: its lease, what runs on its board, its link, and its place, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from belay_py.errors import BelayError, SessionClosed
from belay_py.manager.claims import Kind
from belay_py.options import require
from belay_py.options.checks import TIMEOUT
from belay_py.session.functions.functional import LONGEST_TEARDOWN
from belay_py.session.group import Turns
from belay_py.session.session import DeviceSession
from belay_py.session.wire import LONGEST_CLOSE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from belay_py.events import DisconnectReason
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool
    from belay_py.manager.steps import Steps

_log = logging.getLogger(__name__)

_FOR_EVER: Final = 1e9  # seconds: what is asked for as inf
_HAND_OVER: Final = 1.0  # seconds, after a link's end, for those who used it to learn of that


class Endings:
    """The endings of a manager's sessions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def remove(self, member: Member, grace: float) -> None:
        """Forget a device, let its lease end for ``grace`` seconds, and close its session.

        A caller that is cancelled leaves it going on. Raises `SettingsError` for a ``grace`` that is no time.
        """
        grace = seconds_of_grace(grace)
        key, pool = member.key, self._pool
        pool.admission.why_barred[key] = lambda: SessionClosed(f"the session {key!r} is being removed; create it anew")
        lost, effects = pool.plan.bar(key)
        pool.admission.refuse(lost, pool.admission.why_barred[key])
        pool.admission.perform(effects)
        await asyncio.shield(pool.spawn(self._remove(member, grace), f"{key} is removed", member))

    async def _remove(self, member: Member, grace: float) -> None:
        try:
            deadline = self._pool.time() + grace
            await self._wait_for_leases([member], lambda: deadline)
            await self._discard(member, "requested")
        finally:
            self._pool.admission.why_barred.pop(member.key, None)

    async def discard(self, member: Member) -> None:
        """Close a session at once, whoever has it, and forget its device."""
        await asyncio.shield(self._pool.spawn(self._discard(member, "requested"), f"{member.key} is discarded", member))

    async def _discard(self, member: Member, reason: DisconnectReason, steps: Steps | None = None) -> None:
        pool = self._pool
        if pool.members.get(member.key) is not member:
            return
        member.is_ending = True
        self._force([member])
        try:
            if not pool.lets_run:
                rest = self._come_to_rest(member)
                await (rest if steps is None else steps.patiently(rest))
        finally:
            try:
                await self._close_link(member, reason)
            except asyncio.CancelledError:
                with contextlib.suppress(asyncio.CancelledError):  # of the link's own end, with the same loop
                    await self._close_link(member, reason)
                raise
            finally:
                await self._until_free(member, reason)
                pool.forget(member)

    async def _until_free(self, member: Member, reason: DisconnectReason) -> None:
        """Wait until nobody has a board whose session is closed: what its holder did ends with the session."""
        while self._pool.members.get(member.key) is member:
            if member.session is not None:  # who got the board in the moment of the end has made a new one
                await self._close_link(member, reason)
            elif member.place.holder is not None:
                await self._pool.admission.next_release()
            else:
                return

    async def _close_link(self, member: Member, reason: DisconnectReason) -> None:
        session = member.session
        if session is not None:
            await session._monitoring.end()  # noqa: SLF001  a keeper and what it keeps
            await session._link.close(reason, stop=not self._pool.lets_run)  # noqa: SLF001  with a reason

    async def _come_to_rest(self, member: Member) -> None:
        """Stop what runs on a board, so that closing its link leaves it at its friendly prompt."""
        session = member.session
        if session is None:
            return
        try:
            # Not the lessee's: a lease that is over interrupts nothing.
            await DeviceSession.interrupt(session, timeout=member.options.recovery_timeout)
        except BelayError as error:
            _log.warning("%s: what runs on it could not be stopped: %s", member.key, error, extra=member.about)
            return
        if session._has_teardowns and member.place.holder is None:  # noqa: SLF001  a keeper and what it keeps
            session._standing.turn = Turns()  # noqa: SLF001  the plan gives it to nobody any more, and so not to these
            await session._functions.tear_down(session.exclusive)  # noqa: SLF001  as above

    def longest(self, member: Member) -> float:
        """How many seconds the end of a session may take."""
        session = member.session
        tears_down = session is not None and session._has_teardowns  # noqa: SLF001  a keeper and what it keeps
        return member.options.recovery_timeout + LONGEST_CLOSE + _HAND_OVER + tears_down * LONGEST_TEARDOWN

    async def _wait_for_leases(self, members: Collection[Member], deadline: Callable[[], float]) -> None:
        """Return when nobody but the manager has the boards, or at the deadline, which may come nearer meanwhile."""
        pool = self._pool
        began = pool.time()
        level = logging.WARNING if deadline() > began else logging.INFO  # who gave no time has asked for it
        while used := [member.key for member in members if self._is_used(member)]:
            if pool.time() >= deadline():
                took = pool.time() - began
                names, about = ", ".join(used), pool.about(used)
                _log.log(level, "%s: still in use after %.3g s, and ended now", names, took, extra=about)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline()):
                    await pool.admission.next_release()

    def _is_used(self, member: Member) -> bool:
        if self._pool.members.get(member.key) is not member:
            return False  # removed meanwhile
        holder = member.place.holder
        return holder is not None and holder.kind in (Kind.LEASE, Kind.CALL)

    def _force(self, members: Collection[Member]) -> None:
        """End the leases and exclusive blocks of some boards: their holders have nothing any more."""
        holders = {id(member.place.holder) for member in members}
        for lease in list(self._pool.leases.values()):
            if id(lease.claim) in holders:
                lease.release()
        for member in members:
            if member.session is not None:
                member.standing.turn.end_inside()  # blocks of `exclusive`, whatever they wait for


def seconds_of_grace(grace: float) -> float:
    """Return a caller's ``grace`` as a number that a clock can hold. Raises `SettingsError`."""
    require("grace", grace, TIMEOUT)
    return min(grace, _FOR_EVER)
