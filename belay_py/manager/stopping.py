"""Stopping what somebody has left running on a board that is to be another's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from belay_py.errors import BelayError
from belay_py.session.session import DeviceSession

if TYPE_CHECKING:
    from belay_py.manager.member import Member
    from belay_py.session.group import Group

_log = logging.getLogger(__name__)


async def stop(member: Member, session: DeviceSession, group: Group, what: str) -> None:
    """Interrupt what runs in a group that is over; ``what`` is its maker's, for people.

    Code that catches Ctrl-C would keep the board from everybody until its own deadline, which may be never, so the
    link ends in its place.
    """
    try:
        # Not the lessee's: a lease that is over interrupts nothing.
        await DeviceSession.interrupt(session, timeout=session.options.recovery_timeout)
    except BelayError as error:
        if not group.is_busy or member.is_ending:
            return
        _log.warning(
            "%s: what %s left running could not be stopped, so the board is disconnected: %s",
            member.key,
            what,
            error,
            extra=member.about,
        )
        await session._link.break_off(error)  # noqa: SLF001  a keeper and what it keeps
