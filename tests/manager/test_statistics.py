"""A manager's numbers: they never fall, they add up, and those of the moment are what a recount gives."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from belay_py import DeviceSessionManager, ExecutionError, ManagerStatistics
from belay_py.manager import tally
from belay_py.testing import Pause, Raise, ScriptedBoard

from .watching import manager_with

ON_A_VIRTUAL_CLOCK = True

QUIET: dict[str, Any] = {"enable_heartbeat": False, "enable_health_checks": False}
GAUGES = {
    "sessions", "connected", "leases_held", "leases_overdue", "oldest_lease", "in_use", "waiting", "quarantined",
    "slots", "max_sessions",
}  # fmt: skip


def recount(manager: DeviceSessionManager, found: ManagerStatistics) -> None:
    """Compare the numbers with each other and with what there is."""
    pool = manager._pool
    assert found.connects == sum(found.closed.values()) + found.connected
    assert found.leases_granted == found.leases_released + found.leases_held
    assert found.sessions_created == found.sessions_disposed + found.sessions
    assert found.connected == sum(place.open for place in pool.plan.places.values())
    assert found.leases_held == len(pool.leases)
    assert found.waiting == len(pool.plan.waiting)
    assert found.sessions == len(manager)
    assert sum(found.operation_durations) == found.operations
    assert sum(found.lease_waits) <= found.leases_granted
    assert sum(found.lease_holds) <= found.leases_released
    assert sum(found.session_lifetimes) == found.sessions_disposed
    assert found.slots == sum(place.occupies for place in pool.plan.places.values())
    devices = found.devices
    assert {key for key, device in devices.items() if device.known} == set(manager.devices())
    assert found.in_use == sum(device.in_use for device in devices.values())
    assert found.operations == sum(device.done.operations for device in devices.values())
    assert found.connects == sum(device.done.connects for device in devices.values())
    for device in devices.values():
        assert sum(device.done.failures.values()) == device.done.errors


def must_not_fall(before: ManagerStatistics, after: ManagerStatistics) -> None:
    """Compare every counter of two snapshots."""
    for item in dataclasses.fields(ManagerStatistics):
        if item.name in GAUGES:
            continue
        old, new = getattr(before, item.name), getattr(after, item.name)
        if item.name in {"closed", "lease_failures"}:
            assert all(new[reason] >= count for reason, count in old.items())
        elif item.name == "devices":
            for key, device in old.items():
                assert device.done.operations <= new[key].done.operations
                assert device.done.bytes_sent <= new[key].done.bytes_sent
        elif isinstance(old, tuple):
            assert all(first <= second for first, second in zip(old, new, strict=True)), item.name
        else:
            assert old <= new, item.name


async def test_the_numbers_of_a_life() -> None:
    answers: dict[str, Any] = {"slow": Pause(2.0), "bad": Raise("ValueError")}
    boards = {name: ScriptedBoard(f"life-{name}", on_code=answers.get) for name in ("a", "b", "c")}
    manager, _ = manager_with(max_sessions=2)
    snapshots = [manager.statistics()]

    def look() -> ManagerStatistics:
        snapshots.append(manager.statistics())
        recount(manager, snapshots[-1])
        must_not_fall(snapshots[-2], snapshots[-1])
        return snapshots[-1]

    async with manager:
        for name, board in boards.items():
            await manager.create_session(name, board.port, **QUIET)
            look()
        assert look().evictions == 1
        async with manager.lease("b") as session:
            await session.execute("slow")
            second = asyncio.ensure_future(manager.lease("b").acquire())
            await asyncio.sleep(0.5)
            found = look()
            assert (found.waiting, found.in_use, found.leases_held) == (1, 1, 1)
        await second
        look()
        with pytest.raises(ExecutionError):
            await manager["c"].execute("bad")
        found = look()
        assert (found.operations, found.errors, found.calls) == (2, 1, 1)
        assert found.lease_waits[0] == 1
        assert found.lease_wait_time == pytest.approx(0.5)
        assert (sum(found.lease_holds), found.lease_hold_time) == (1, pytest.approx(2.5))
        await manager.remove("b", grace=0)
        found = look()
        assert (found.operations, found.errors) == (2, 1)  # those of the session that is over are kept
        assert (found.sessions, found.sessions_disposed, found.leases_held) == (2, 1, 0)
        boards["c"].lose()
        await asyncio.sleep(2)
        found = look()
        assert (found.reconnects, found.closed["unexpected"]) == (1, 1)
        boards["c"].silent = True
        with pytest.raises(Exception, match="did not"):
            await manager["c"].execute("1", timeout=1)
        boards["c"].silent = False
        await asyncio.sleep(10)
        found = look()
        assert found.closed["error"] == 1
        await asyncio.sleep(1000)
        assert look().closed["idle"] == 1
    found = look()
    assert (found.sessions, found.connected, found.sessions_disposed) == (0, 0, 3)


async def test_a_snapshot_stands_still() -> None:
    board = ScriptedBoard("still")
    manager, _ = manager_with()
    async with manager:
        found = manager.statistics()
        session = await manager.create_session("a", board.port, **QUIET)
        await session.execute("1")
        assert (found.operations, found.connects, dict(found.closed)) == (0, 0, {})
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.connects = 3  # type: ignore[misc]  # that is what is tried
        with pytest.raises(TypeError):
            found.closed["idle"] = 3  # type: ignore[index]  # that is what is tried


async def test_a_device_goes_on_counting_with_its_next_session() -> None:
    board = ScriptedBoard("goes-on")
    manager, _ = manager_with()
    async with manager:
        for number in (1, 2, 3):
            session = await manager.create_session("a", board.port, **QUIET)
            await session.execute("1")
            found = manager.statistics()
            recount(manager, found)
            device = found.devices["a"]
            assert (device.done.operations, device.done.connects, device.known) == (number, number, True)
            assert (device.generation, device.in_use, device.state) == (1, False, session.state)
            await manager.remove("a")
            gone = manager.statistics().devices["a"]
            assert (gone.done.operations, gone.known, gone.state) == (number, False, None)
            await asyncio.sleep(20)
            assert (gone.gone_for, manager.statistics().devices["a"].gone_for) == (0, 20)
            assert gone.done.connected_since is None


async def test_of_devices_that_are_gone_some_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "KEPT", 2)
    boards = [ScriptedBoard(f"gone-{number}") for number in range(5)]
    manager, _ = manager_with()
    async with manager:
        for number, board in enumerate(boards):
            session = await manager.create_session(f"board-{number}", board.port, **QUIET)
            await session.execute("1")
            await manager.remove(f"board-{number}")
        found = manager.statistics()
        assert list(found.devices) == ["board-3", "board-4"]
        assert found.operations == 5
