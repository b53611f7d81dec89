"""How the boards of a manager are, and the manager as a whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from belay_py.lifecycle import DeviceSessionState
from belay_py.manager.claims import USES
from belay_py.session.vitals import CODE, ask, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.manager.member import Member
    from belay_py.manager.pool import Pool

FULL: Final = 0.9
"""The share of ``max_sessions`` from which on a manager is degraded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFinding:
    """What a manager has found when it last asked a board. Sizes are bytes; None where the board does not know."""

    device_id: str
    ok: bool
    trouble: str = ""
    """What is wrong, when it is not ok."""
    duration: float | None = None
    """Seconds from the question to the answer."""
    heap_free: int | None = None
    heap_allocated: int | None = None
    storage_size: int | None = None
    """Of the file system at ``/``."""
    storage_free: int | None = None
    link_errors: int = 0
    """How often its link was lost, or its answers were not the raw REPL's, since the check before."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerHealth:
    """How a manager is, as it was when asked."""

    status: Literal["healthy", "degraded", "unhealthy"]
    reasons: tuple[str, ...]
    """Why it is not healthy."""
    active: int
    """Boards that somebody has."""
    idle: int
    """Boards that are connected, and that nobody but the manager has."""
    max_sessions: int
    utilization: float
    """How much of ``max_sessions`` is taken, from 0 to 1: boards that are connected, or that somebody has."""
    findings: Mapping[str, HealthFinding]
    """The latest check of each board that was checked, by its name."""
    quarantined: tuple[str, ...]
    """Boards that are left alone for a while."""


async def check(member: Member, link_errors_before: int) -> HealthFinding:
    """Ask a board that the caller holds how it is. Raises what `DeviceSession.execute` raises."""
    session = member.make_session()
    began = asyncio.get_running_loop().time()
    vitals = parse((await ask(session, CODE, member.options.operation_timeout)).output_bytes)
    heap, allocated = session.info.heap, vitals.heap_allocated
    free = None if heap is None or allocated is None else max(0, heap.free + heap.allocated - allocated)
    return HealthFinding(
        device_id=member.key,
        ok=True,
        duration=asyncio.get_running_loop().time() - began,
        heap_free=free,
        heap_allocated=allocated,
        storage_size=vitals.storage_size,
        storage_free=vitals.storage_free,
        link_errors=session.statistics.link_errors - link_errors_before,
    )


def assess(pool: Pool) -> ManagerHealth:
    """Say how a manager is, from what is known."""
    plan = pool.plan
    troubles = {key: trouble for key, member in pool.members.items() if (trouble := _trouble_of(pool, member))}
    utilization = plan.slots / plan.max_open
    reasons = [f"{key}: {trouble}" for key, trouble in troubles.items()]
    if utilization >= FULL:
        reasons.append(f"{plan.slots} of {plan.max_open} sessions that may be open (max_sessions) are taken")
    if plan.draining:
        reasons.append("the manager is closing, or was closed")
    nothing_works = bool(troubles) and len(troubles) == len(pool.members)
    used = {key for key, place in plan.places.items() if place.holder is not None and place.holder.kind in USES}
    return ManagerHealth(
        status="unhealthy" if plan.draining or nothing_works else "degraded" if reasons else "healthy",
        reasons=tuple(reasons),
        active=len(used),
        idle=sum(place.open and key not in used for key, place in plan.places.items()),
        max_sessions=plan.max_open,
        utilization=utilization,
        findings={key: member.finding for key, member in pool.members.items() if member.finding is not None},
        quarantined=tuple(pool.quarantined),
    )


def _trouble_of(pool: Pool, member: Member) -> str:
    if member.key in pool.quarantined:
        return "it is in quarantine, since its link was lost again and again"
    session = member.session
    if session is not None and session.state is DeviceSessionState.ERROR:
        return f"it is in ERROR ({member.standing.trouble})"
    if session is not None and member.was_lost and not member.standing.usable:
        return f"its link was lost ({member.standing.trouble})"
    if session is not None and member.was_unfit and not member.standing.usable:
        return f"it could not be made ready ({member.standing.trouble})"
    if member.finding is not None and not member.finding.ok:
        return member.finding.trouble
    return ""
