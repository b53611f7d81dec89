"""What a manager tells its journal, and what it learns from it.

The journal is an account, and never in the way: what cannot be written is a line in the log, and waiting for a write is
bounded. Whether a board is free is not its business either; that is for the lock, which dies with its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from belay_py import events
from belay_py.devices.identity import makes_its_board
from belay_py.errors import ConnectionFailed
from belay_py.manager.threads import Threads
from belay_py.session.about import About

if TYPE_CHECKING:
    from belay_py.journal import Journal, LeftBehind
    from belay_py.manager.leases import Lease, LeasedSession
    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool
    from belay_py.session.session import DeviceSession

_log = logging.getLogger(__name__)

LONGEST_END: Final = 3.0  # seconds; a journal waits for two while others write
_LONGEST_WRITE: Final = 1.0  # seconds that a connect waits; a write takes less than a millisecond
_BESIDE: Final = Threads("belay waits for its journal")
_CLOSED: Final = "closed"
_HANDED_OVER: Final = "handed over"


def begin_journal(pool: Pool) -> None:
    """Open the journal, where there is one, and report what others have left in it. Raises `JournalError`."""
    if pool.options.journal is None or pool.journaling is not None or pool.plan.draining:
        return
    from belay_py.journal import Journal  # noqa: PLC0415  SQLite, which is loaded for those who use it

    pool.journaling = Journaling(pool, Journal(pool.options.journal))


class Journaling:
    """One manager's entries."""

    def __init__(self, pool: Pool, journal: Journal) -> None:
        self._pool = pool
        self._journal = journal
        # Those that are connected, to boards that were recognised.
        self._entered: weakref.WeakSet[DeviceSession] = weakref.WeakSet()
        pool.observers.append(self._note)
        for left in self.found:
            _log.warning("%s", left, extra=_about(left))

    @property
    def found(self) -> tuple[LeftBehind, ...]:
        """What processes have left that died."""
        return self._journal.found

    # -- boards -------------------------------------------------------------------------------------------------

    def before_connect(self, member: Member) -> None:
        """Tell a new session in which life its board was met last."""
        standing = member.standing
        if standing.generation == 0 and not makes_its_board(member.options.port):
            standing.life = self._journal.last_life(member.key, member.options.port)

    async def connected(self, member: Member) -> None:
        """Note a board that was connected, and is the right one; return when it is written, or cannot be for now."""
        self._entered.add(member.make_session())
        self._note_session(member.make_session(), how=None)
        await self.settle()

    async def settle(self) -> None:
        """Return when what was noted is written, or cannot be for now."""
        if not self._journal.is_failing:
            with contextlib.suppress(ConnectionFailed):  # no thread is to be had
                await asyncio.get_running_loop().run_in_executor(_BESIDE, self._journal.settle, _LONGEST_WRITE)

    def _note(self, event: events.SessionEvent, member: Member) -> None:
        if event.session is not member.session and member.session is not None:
            return  # an earlier session's last words
        match event:
            case events.BoardReset():
                self._note_session(event.session, how=None)
            case events.SessionDisconnected():
                reason = _HANDED_OVER if self._pool.handing_over and event.reason == "shutdown" else event.reason
                self._note_session(event.session, how=reason)
            case events.SessionError():
                self._note_session(event.session, how="error")

    def _note_session(self, session: DeviceSession, *, how: str | None) -> None:
        """Note how a session stands; ``how`` it has ended, or None while it is connected."""
        standing = session._standing  # noqa: SLF001  a keeper and what it keeps
        if self._pool.is_inherited or session not in self._entered:
            return  # a forked child has no part in it, nor a board before it is known to be the right one
        if how is not None:
            self._entered.discard(session)
        from belay_py.journal import SessionNote  # noqa: PLC0415  it is loaded by now

        info = standing.info
        self._journal.note(
            SessionNote(
                session_id=session.session_id,
                device_id=session.device_id,
                port=standing.whereabouts.port,
                generation=standing.generation,
                boot_epoch=standing.boot_epoch,
                life=standing.life,
                unique_id=None if info is None else info.unique_id,
                connected=how is None,
                is_sole=session.options.communication.exclusive,
                at=time.time(),
                how=how,
            )
        )

    # -- leases -------------------------------------------------------------------------------------------------

    def lease_began(self, lease: Lease[Any], seats: list[LeasedSession]) -> None:
        """Note that somebody has boards, which are ready."""
        self._journal.lease_began(
            lease.lease_id, tuple((seat.session_id, seat.device_id) for seat in seats), lease.claim.holder
        )

    def lease_ended(self, lease: Lease[Any]) -> None:
        """Note that a lease is over; one that never had its boards was not noted."""
        if lease.since < math.inf and not self._pool.is_inherited:
            self._journal.lease_ended(lease.lease_id)

    # -- the end ------------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """Write all, note that the manager has ended, and close the file."""
        await asyncio.get_running_loop().run_in_executor(_BESIDE, self.end_at_once)

    def end_at_once(self) -> None:
        """The same, blocking."""
        self._journal.close(_HANDED_OVER if self._pool.handing_over else _CLOSED, LONGEST_END)


def _about(left: LeftBehind) -> About:
    devices = [session.device_id for session in left.sessions] + [lease.device_id for lease in left.leases]
    one = left.sessions[0] if len(left.sessions) == 1 else None
    named = ", ".join(dict.fromkeys(devices))
    return About(device_id=named) if one is None else About(one.session_id, named, one.generation)
