"""How a manager is, and warming boards up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from belay_py import BelayError, DeviceNotFound, DeviceSession, DeviceSessionOptions, IdentityChanged
from belay_py.testing import Pause, ScriptedBoard, housekeeping

from .watching import manager_with

ON_A_VIRTUAL_CLOCK = True

QUIET: dict[str, Any] = {"enable_heartbeat": False, "enable_health_checks": False}


async def test_a_manager_without_anything_is_healthy_until_it_is_closed() -> None:
    manager, _ = manager_with()
    async with manager:
        health = await manager.health()
        assert (health.status, health.reasons, health.utilization) == ("healthy", (), 0.0)
    health = await manager.health()
    assert health.status == "unhealthy"
    assert health.reasons == ("the manager is closing, or was closed",)


async def test_the_figures_are_those_of_the_boards() -> None:
    boards = [ScriptedBoard(f"figure-{number}") for number in range(3)]
    manager, _ = manager_with(max_sessions=10)
    async with manager:
        for number, board in enumerate(boards):
            await manager.create_session(f"b{number}", board.port, **QUIET)
        async with manager.lease("b1"):
            health = await manager.health()
            assert (health.active, health.idle, health.max_sessions) == (1, 2, 10)
            assert health.utilization == 0.3
            assert health.status == "healthy"
        await manager["b0"].disconnect()
        health = await manager.health()
        assert (health.active, health.idle, health.utilization) == (0, 2, 0.2)
        assert health.status == "healthy"


async def test_nine_tenths_of_the_room_are_a_degradation() -> None:
    boards = [ScriptedBoard(f"full-{number}") for number in range(9)]
    manager, _ = manager_with(max_sessions=10)
    async with manager:
        for number, board in enumerate(boards):
            assert (await manager.health()).status == "healthy"
            await manager.create_session(f"b{number}", board.port, **QUIET)
        health = await manager.health()
        assert health.status == "degraded"
        assert health.reasons == ("9 of 10 sessions that may be open (max_sessions) are taken",)


async def test_one_bad_board_of_two_is_a_degradation_and_both_are_worse() -> None:
    good, bad = ScriptedBoard("good"), ScriptedBoard("bad")
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("good", good.port, max_reconnect_attempts=1, **QUIET)
        session = await manager.create_session("bad", bad.port, max_reconnect_attempts=1, **QUIET)
        bad.unplug()
        await asyncio.sleep(10)
        health = await manager.health()
        assert health.status == "degraded"
        assert [reason.partition(":")[0] for reason in health.reasons] == ["bad"]
        good.unplug()
        await asyncio.sleep(10)
        assert (await manager.health()).status == "unhealthy"
        good.replug()
        bad.replug()
        await session.execute("1")
        assert (await manager.health()).status == "degraded"
        await manager["good"].execute("1")
        assert (await manager.health()).status == "healthy"


async def test_another_board_at_the_port_is_not_well_until_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    board = ScriptedBoard("stranger")
    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **QUIET)
        monkeypatch.setattr(housekeeping, "FACTS", {**housekeeping.FACTS, "u": "0badcafe"})
        board.lose()
        await asyncio.sleep(100)
        with pytest.raises(IdentityChanged):
            await session.execute("1")
        health = await manager.health()
        assert health.status == "unhealthy"
        assert health.reasons[0].startswith("a: it could not be made ready (the board of ")
        await session.connect()
        assert (await manager.health()).status == "healthy"


async def test_a_board_that_could_not_be_prepared_is_not_well_until_it_is() -> None:
    board = ScriptedBoard("unprepared")
    broken = True

    async def prepare(session: DeviceSession) -> None:
        if broken:
            raise BelayError("its sensor does not answer")

    manager, _ = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, connect=False, on_connect=prepare, **QUIET)
        with pytest.raises(BelayError, match="its sensor"):
            await session.execute("1")
        assert (await manager.health()).reasons == ("a: it could not be made ready (its sensor does not answer)",)
        broken = False
        await session.execute("1")
        assert (await manager.health()).status == "healthy"


async def test_boards_are_warmed_up_side_by_side_and_one_that_fails_stops_no_other() -> None:
    boards = {name: ScriptedBoard(f"warm-{name}") for name in ("a", "b", "c")}
    for board in boards.values():
        board.boot = None
    boards["b"].unplug()
    manager, _ = manager_with(devices={name: DeviceSessionOptions(port=it.port) for name, it in boards.items()})
    async with manager:
        told: list[tuple[int, int, str, BelayError | None]] = []
        failures = await manager.warm_up("a", "b", "c", progress=lambda *each: told.append(each))
        assert list(failures) == ["b"]
        assert isinstance(failures["b"], DeviceNotFound)
        assert sorted((total, key, error) for _, total, key, error in told if error is None) == [
            (3, "a", None),
            (3, "c", None),
        ]
        assert [done for done, _, _, _ in told] == [1, 2, 3]
        assert [board.connections for board in boards.values()] == [1, 0, 1]
        assert await manager.warm_up("a") == {}
        assert boards["a"].connections == 1
        with pytest.raises(DeviceNotFound, match="there is no device 'd'"):
            await manager.warm_up("a", "d")


async def test_a_progress_callback_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    board = ScriptedBoard("progress")
    manager, _ = manager_with(devices={"a": DeviceSessionOptions(port=board.port)})

    def fail(*each: object) -> None:
        raise ValueError("no")

    async with manager:
        assert await manager.warm_up("a", progress=fail) == {}
        assert board.connected
    [record] = [record for record in caplog.records if "the progress callback" in record.message]
    assert record.__dict__["device"] == "a"


async def test_no_more_are_opened_than_may_be_open() -> None:
    boards = {name: ScriptedBoard(f"room-{name}") for name in ("a", "b", "c", "d")}
    manager, _ = manager_with(
        max_sessions=2, devices={name: DeviceSessionOptions(port=it.port) for name, it in boards.items()}
    )
    async with manager:
        assert await manager.warm_up(*boards) == {}
        assert sum(board.connected for board in boards.values()) == 2


async def test_the_start_warms_up_in_the_background() -> None:
    board = ScriptedBoard("background")
    board.about = (Pause(3.0), "{}\n")
    manager, _ = manager_with(devices={"a": DeviceSessionOptions(port=board.port)}, warm_up=("a",))
    async with manager:
        assert asyncio.get_running_loop().time() == 0.0
        assert not board.connected
        await asyncio.sleep(1)
        assert board.connected


async def test_what_fails_at_the_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    board = ScriptedBoard("start-fails")
    board.unplug()
    manager, _ = manager_with(devices={"a": DeviceSessionOptions(port=board.port)}, warm_up=("a",))
    async with manager:
        await asyncio.sleep(1)
    assert "a: not connected at the start: " in caplog.text


async def test_a_board_that_the_manager_asks_is_idle() -> None:
    board = ScriptedBoard("asked", on_code=lambda code: Pause(1.0))
    manager, _ = manager_with()
    async with manager:
        await manager.create_session("a", board.port, enable_health_checks=False)
        await asyncio.sleep(30.5)
        assert board.running
        health = await manager.health()
        assert (health.active, health.idle) == (0, 1)
