"""Taking boards over from another process, which lets go of them when it has ended or handed them over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from belay_py.devices import locks
from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, IdentityChanged
from belay_py.manager.claims import Claim, Kind
from belay_py.manager.pool import Upkeep
from belay_py.manager.readiness import together
from belay_py.manager.threads import Threads
from belay_py.options import check_device_id, require
from belay_py.options.checks import TIMEOUT
from belay_py.session.finding import find_place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

_PAUSE: Final = 0.05  # seconds between two looks at a lock that somebody else has; each costs 0.1 ms in a thread
_LOOK: Final = 1.0  # seconds for the last look at the deadline, which takes milliseconds where no system call hangs
_BESIDE: Final = Threads("belay looks at a lock")
_FOR_EVER: Final = 1e9  # seconds: what is asked for as inf


async def take_over(pool: Pool, keys: Iterable[str], timeout: float | None) -> None:
    """See `DeviceSessionManager.take_over`."""
    seconds = pool.options.lease_timeout if timeout is None else timeout
    require("timeout", seconds, TIMEOUT)
    deadline = pool.time() + min(seconds, _FOR_EVER)
    keys = list(keys)
    for key in keys:
        check_device_id(key)
    members = [pool.member(key) for key in dict.fromkeys(keys)]
    if members:
        await together([_take_over(pool, member, deadline) for member in members])


async def _take_over(pool: Pool, member: Member, deadline: float) -> None:
    while True:
        await _until_unlocked(pool, member, deadline)
        claim = Claim(Kind.CALL, (member.key,), holder="the manager, which takes it over")
        await pool.admission.admit(claim, deadline)
        now_there = pool.member(member.key)  # the one whose board it is now: it may have been replaced meanwhile
        try:
            async with Upkeep(now_there, claim):
                limit = min(deadline, pool.time() + now_there.options.connection_timeout)
                await now_there.make_session()._link.connect(limit)  # noqa: SLF001  a keeper and what it keeps
        except DeviceBusy:  # somebody was faster, or has no lock file: another program's port
            if pool.time() + 2 * _PAUSE >= deadline:  # a last attempt without time to open would say something else
                raise
        else:
            return
        await asyncio.sleep(_PAUSE)


async def _until_unlocked(pool: Pool, member: Member, deadline: float) -> None:
    """Wait until nobody has the lock of a board, without touching its port. Raises `DeviceBusy` at the deadline."""
    while not member.is_usable:
        try:
            limit = max(deadline, pool.time() + _LOOK)
            port = (await find_place(member.whereabouts, limit)).port
            async with asyncio.timeout_at(limit):
                await pool.loop.run_in_executor(_BESIDE, _look, port, member.options.communication.exclusive)
        except (DeviceNotFound, ConnectionFailed, IdentityChanged, TimeoutError):
            return  # connecting will say so
        except DeviceBusy:
            if pool.time() + _PAUSE >= deadline:
                raise
        else:
            return
        await asyncio.sleep(_PAUSE)


def _look(port: str, exclusive: bool) -> None:
    locks.take(port, exclusive=exclusive).release()
