"""Warm-up: boards are connected before anybody asks for them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeAlias

from belay_py.errors import BelayError
from belay_py.manager.claims import Claim, Kind
from belay_py.manager.pool import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

Progress: TypeAlias = "Callable[[int, int, str, BelayError | None], object]"
"""Called after each device: how many are done, of how many, which one, and what went wrong with it."""

_log = logging.getLogger(__name__)


async def warm_up(pool: Pool, keys: Iterable[str], progress: Progress | None = None) -> dict[str, BelayError]:
    """Connect boards side by side, no more at a time than may be open; return what went wrong, by their names.

    Raises `DeviceNotFound` for a name that no device has, before any is connected.
    """
    members = [pool.member(key) for key in dict.fromkeys(keys)]
    failures: dict[str, BelayError] = {}
    room = asyncio.Semaphore(pool.options.max_sessions)
    done = 0

    async def warm(member: Member) -> None:
        nonlocal done
        error: BelayError | None = None
        async with room:
            try:
                await _connect(pool, member.key)
            except BelayError as failure:
                error = failures[member.key] = failure
                _log.info("%s: not connected at the warm-up: %s", member.key, failure, extra=member.about)
        done += 1
        if progress is not None:
            try:
                progress(done, len(members), member.key, error)
            except Exception:  # noqa: BLE001  others' code: nothing of it may end the warm-up
                _log.exception("the progress callback %r of a warm-up failed", progress, extra=member.about)

    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(warm(member))
    return failures


async def _connect(pool: Pool, key: str) -> None:
    deadline = pool.time() + min(pool.member(key).options.connection_timeout, _FOR_EVER)
    claim = Claim(Kind.CALL, (key,), holder="the manager, at its warm-up")
    await pool.admission.admit(claim, deadline)
    member = pool.member(key)  # the one whose board it is now: it may have been replaced meanwhile
    async with Upkeep(member, claim):
        await member.make_session()._link.connect(deadline)  # noqa: SLF001  a keeper and what it keeps


_FOR_EVER = 1e9  # seconds: what is asked for as inf
