"""Getting boards ready for a lease: connecting those that are not, asking the others for a sign of life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from belay_py.errors import (
    BoardWasReset,
    Disconnected,
    OutcomeUnknown,
    ProtocolViolation,
    SessionClosed,
    SessionTimeout,
)
from belay_py.session.vitals import ask

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from belay_py.manager.member import Member
    from belay_py.session.standing import Standing

# A board at its prompt answers within milliseconds; one that does not is connected anew, which takes longer.
_LONGEST_CHECK: Final = 2.0
LOOKS_BROKEN: Final = (SessionTimeout, Disconnected, OutcomeUnknown, ProtocolViolation, BoardWasReset)
"""What a sign of life ends in when the board has to be connected anew."""


def is_fresh(standing: Standing, now: float) -> bool:
    """Whether the board is connected and was heard of a short while ago."""
    channel = standing.channel  # it is of the manager's loop, in which leases are taken
    return channel is not None and channel.in_step and now - standing.last_begun < standing.options.check_after


async def make_ready(members: list[Member], deadline: float, *, patient: bool) -> None:
    """Connect and check the boards of one lease, which holds them, at the same time.

    ``patient``: a lost board that is being connected again is waited for; who may have another one does not wait.
    Raises what the first one raises that fails, when the others have come to an end too.
    """
    if len(members) == 1:
        await _make_ready(members[0], deadline, patient=patient)
        return
    await together([_make_ready(member, deadline, patient=patient) for member in members])


async def _make_ready(member: Member, deadline: float, *, patient: bool) -> None:
    if member.forgotten:  # between the lease's beginning and this task's
        raise SessionClosed(f"the session {member.key!r} was removed; create it anew")
    session = member.make_session()
    link = session._link  # noqa: SLF001  a keeper and what it keeps
    if member.standing.usable:
        if deadline <= _now():
            return  # whoever wants it at once or not at all leaves no time for a check
        try:
            await give_a_sign(member, deadline)
        except LOOKS_BROKEN:
            await link.reconnect(deadline)
        return
    await link.connect(min(deadline, _now() + member.options.connection_timeout), patient=patient and member.is_awaited)


async def give_a_sign(member: Member, deadline: float) -> None:
    """Ask a board that the caller holds for a sign of life. Raises one of `LOOKS_BROKEN`."""
    await ask(member.make_session(), b"", max(0.0, min(_LONGEST_CHECK, deadline - _now())))


async def together(work: list[Coroutine[None, None, None]]) -> None:
    """Do several things at the same time. The first that fails ends the others, and is raised when they have ended."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await _end(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their ends. Further cancellations are passed on to them, and are raised afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        try:
            await asyncio.wait(going_on)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # one of them is raised, and asyncio would log the others as never looked at
    if cancelled is not None:
        raise cancelled


def _now() -> float:
    return asyncio.get_running_loop().time()
