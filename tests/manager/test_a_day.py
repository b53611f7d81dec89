"""A day in seconds: what a manager does in 24 hours of which nobody watches a minute."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.testing import ScriptedBoard, VirtualClock

from .watching import codes, manager_with

if TYPE_CHECKING:
    from belay_py import DeviceSessionManager

HOUR = 3600.0


def test_a_day_of_three_boards() -> None:
    """A sensor that is read each hour, a pinned one that is unplugged twice, and one that flaps in the evening."""
    clock = VirtualClock()
    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        runner.run(live_through_a_day())
        assert clock.time() == 24 * HOUR


async def live_through_a_day() -> None:
    sensor, lamp, pump = ScriptedBoard("sensor"), ScriptedBoard("lamp"), ScriptedBoard("pump")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("sensor", sensor.port)
        await manager.create_session("lamp", lamp.port, pinned=True, max_lifetime=10 * HOUR)
        await manager.create_session("pump", pump.port, pinned=True)
        assert diary.take() == [
            (0.0, name, event)
            for name in ("sensor", "lamp", "pump")
            for event in ("SessionCreated", "SessionConnected")
        ]
        happenings = [
            asyncio.ensure_future(happening)
            for happening in (read_each_hour(manager), unplug(lamp), use_at_eight(manager), flap(pump), all_day())
        ]
        await asyncio.gather(*happenings)
        told = diary.take()
        assert [entry for entry in told if entry[1] == "sensor"] == events_of_the_sensor()
        assert [entry for entry in told if entry[1] == "lamp"] == EVENTS_OF_THE_LAMP
        assert [entry for entry in told if entry[1] == "pump"] == EVENTS_OF_THE_PUMP
        assert len(told) == len(events_of_the_sensor()) + len(EVENTS_OF_THE_LAMP) + len(EVENTS_OF_THE_PUMP)
        look_at_the_numbers(manager, sensor)
        diary.take()
    assert [entry[2] for entry in diary.take()] == [
        "SessionDisposed",
        "SessionDisposed",
        "SessionDisconnected shutdown",
        "SessionDisposed",
    ]
    assert not manager._pool.tasks


async def all_day() -> None:
    await asyncio.sleep(24 * HOUR)


async def read_each_hour(manager: DeviceSessionManager) -> None:
    for hour in range(1, 24):
        await asyncio.sleep(hour * HOUR - asyncio.get_running_loop().time())
        async with manager.lease("sensor") as session:
            await session.execute("read()")
            await asyncio.sleep(10)


async def unplug(lamp: ScriptedBoard) -> None:
    """At three for two seconds; at six for an hour, in which all attempts fail."""
    await asyncio.sleep(3 * HOUR + 7)
    lamp.unplug()
    await asyncio.sleep(2)
    lamp.replug()
    await asyncio.sleep(3 * HOUR - 2)
    lamp.unplug()
    await asyncio.sleep(HOUR)
    lamp.replug()


async def use_at_eight(manager: DeviceSessionManager) -> None:
    """Nobody connects the lamp any more until somebody wants it."""
    await asyncio.sleep(8 * HOUR)
    async with manager.lease("lamp") as session:
        await session.execute("shine()")
        await asyncio.sleep(60)


async def flap(pump: ScriptedBoard) -> None:
    """At twenty, five times within ten seconds."""
    await asyncio.sleep(20 * HOUR + 11)
    for _ in range(5):
        pump.lose()
        await asyncio.sleep(2)


def events_of_the_sensor() -> list[tuple[float, str, str]]:
    """It is closed five minutes after its latest use, and connected for the next one."""
    told = [(300.0, "sensor", "SessionDisconnected idle")]
    for hour in range(1, 24):
        at = hour * HOUR
        told += [
            (at, "sensor", "SessionConnected"),
            (at, "sensor", "LeaseGranted"),
            (at + 10, "sensor", "LeaseReleased 10 False"),
            (at + 310, "sensor", "SessionDisconnected idle"),
        ]
    return told


EVENTS_OF_THE_LAMP = [
    (10_807.0, "lamp", "SessionDisconnected unexpected"),
    (10_807.0, "lamp", "Reconnecting 1 1"),
    (10_808.0, "lamp", "SessionError"),
    (10_808.0, "lamp", "Reconnecting 2 2"),
    (10_810.0, "lamp", "BoardReset"),
    (10_810.0, "lamp", "SessionConnected"),
    (21_607.0, "lamp", "SessionDisconnected unexpected"),
    (21_607.0, "lamp", "Reconnecting 1 1"),
    (21_608.0, "lamp", "SessionError"),
    (21_608.0, "lamp", "Reconnecting 2 2"),
    (21_610.0, "lamp", "SessionError"),
    (21_610.0, "lamp", "Reconnecting 3 4"),
    (21_614.0, "lamp", "SessionError"),
    (21_614.0, "lamp", "ReconnectFailed 3"),
    (8 * HOUR, "lamp", "BoardReset"),
    (8 * HOUR, "lamp", "SessionConnected"),
    (8 * HOUR, "lamp", "LeaseGranted"),
    (8 * HOUR + 60, "lamp", "LeaseReleased 60 False"),
    (17 * HOUR, "lamp", "SessionDisconnected expired"),  # ten hours, less a tenth
]
EVENTS_OF_THE_PUMP = [
    *[
        (72_011.0 + 2 * number + later, "pump", event)
        for number in range(4)
        for later, event in (
            (0, "SessionDisconnected unexpected"),
            (0, "Reconnecting 1 1"),
            (1, "SessionConnected"),
        )
    ],
    (72_019.0, "pump", "SessionDisconnected unexpected"),
    (72_019.0, "pump", "Quarantined 5 300"),
    (72_319.0, "pump", "Reconnecting 1 1"),
    (72_320.0, "pump", "SessionConnected"),
]


def look_at_the_numbers(manager: DeviceSessionManager, sensor: ScriptedBoard) -> None:
    numbers = manager.statistics()
    assert (numbers.connects, numbers.connected) == (33, 1)
    assert numbers.closed == {"idle": 24, "unexpected": 7, "expired": 1}
    assert (numbers.reconnects, numbers.reconnect_failures, numbers.quarantines) == (6, 1, 1)
    assert (numbers.operations, numbers.leases_granted, numbers.leases_released) == (24, 24, 24)
    # The pump for 24 hours less 5 minutes, the lamp for 15 hours, the sensor for 5 minutes of each hour; one of each
    # kind each minute, for a check is traffic, after which the heartbeat comes half a minute later.
    assert (numbers.heartbeats, numbers.health_checks, numbers.failed_checks) == (2454, 2451, 0)
    assert numbers.cleanup_runs == 24 * 12
    assert [code for code in codes(sensor.executions) if code] == ["read()"] * 23
