"""Leaks, expiry and cleanups as Prometheus sees them, over hours that take no time."""

from __future__ import annotations

import asyncio
from typing import Any

from belay_py import DeviceSessionManager
from belay_py.testing import ScriptedBoard, VirtualClock

from .scraping import scrape, value

QUIET: dict[str, Any] = {"enable_heartbeat": False, "enable_health_checks": False}


def test_leaks_expiry_and_quarantine() -> None:
    with asyncio.Runner(loop_factory=VirtualClock) as runner:
        runner.run(hours())


async def hours() -> None:
    boards = {name: ScriptedBoard(f"scraped-{name}") for name in ("held", "idle", "old", "loose")}
    async with DeviceSessionManager(leak_after=60, quarantine_after=1, quarantine_time=500) as manager:
        await manager.create_session("held", boards["held"].port, **QUIET)
        await manager.create_session("idle", boards["idle"].port, idle_timeout=30, **QUIET)
        await manager.create_session("old", boards["old"].port, max_lifetime=100, idle_timeout=1e6, **QUIET)
        lease = manager.lease("held")
        await lease.acquire()
        await asyncio.sleep(50)
        found = scrape(manager)
        assert value(found, "oldest_lease_age_seconds") == 50
        assert (value(found, "leases_overdue"), value(found, "leases_leaked_total")) == (0, 0)
        assert value(found, "disconnects_total", reason="idle") == 1
        await asyncio.sleep(100)
        found = scrape(manager)
        assert (value(found, "leases_overdue"), value(found, "leases_leaked_total")) == (1, 1)
        assert value(found, "disconnects_total", reason="expired") == 1
        lease.release()
        found = scrape(manager)
        assert (value(found, "leases_overdue"), value(found, "leases_leaked_total")) == (0, 1)
        assert value(found, "oldest_lease_age_seconds") == 0
        assert value(found, "lease_hold_seconds_sum") == 150
        assert value(found, "lease_hold_seconds_bucket", le="60.0") == 0
        assert value(found, "lease_hold_seconds_bucket", le="600.0") == value(found, "lease_hold_seconds_count") == 1
        await manager.create_session("loose", boards["loose"].port, idle_timeout=1e6, **QUIET)
        boards["loose"].lose()
        await asyncio.sleep(1)
        found = scrape(manager)
        assert value(found, "device_quarantined", device="loose") == value(found, "devices_quarantined") == 1
        assert value(found, "quarantines_total") == 1
        await asyncio.sleep(3600)
        await manager["idle"].close()
        found = scrape(manager)
        assert value(found, "cleanup_runs_total") > 1
        lived = value(found, "session_lifetime_seconds_sum")
        assert lived > 3600
        assert value(found, "session_lifetime_seconds_bucket", le="3600.0") == 0
        assert value(found, "session_lifetime_seconds_bucket", le="21600.0") == 1
