"""Lost boards are connected again: when, how often, and who stands back for whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from belay_py import BelayError, ConnectionFailed, DeviceNotFound, DeviceSession, IdentityChanged
from belay_py.events import ReconnectFailed
from belay_py.testing import Pause, ScriptedBoard, housekeeping

from .watching import manager_with, until

ON_A_VIRTUAL_CLOCK = True

UNWATCHED: dict[str, Any] = {
    "enable_heartbeat": False,
    "enable_health_checks": False,
    "idle_timeout": float("inf"),
}


async def test_a_lost_link_is_made_again_after_the_delay() -> None:
    board = ScriptedBoard("lost")
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        diary.take()
        await asyncio.sleep(10)
        board.lose("pulled")
        await asyncio.sleep(5)
        assert diary.take() == [
            (10.0, "a", "SessionDisconnected unexpected"),
            (10.0, "a", "Reconnecting 1 1"),
            (11.0, "a", "SessionConnected"),
        ]
        assert session.generation == 2
        assert manager.statistics().reconnects == 1
        assert manager._watch.reconnection._series == {}


async def test_the_delays_grow_up_to_their_limit_and_giving_up_is_told_once() -> None:
    board = ScriptedBoard("gone")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session(
            "a", board.port, max_reconnect_attempts=5, reconnect_delay=2, max_reconnect_delay=10, **UNWATCHED
        )
        diary.take()
        board.unplug()
        await asyncio.sleep(1000)
        assert [entry for entry in diary.take() if "SessionError" not in entry[2]] == [
            (0.0, "a", "SessionDisconnected unexpected"),
            (0.0, "a", "Reconnecting 1 2"),
            (2.0, "a", "Reconnecting 2 4"),
            (6.0, "a", "Reconnecting 3 8"),
            (14.0, "a", "Reconnecting 4 10"),
            (24.0, "a", "Reconnecting 5 10"),
            (34.0, "a", "ReconnectFailed 5"),
        ]
        last = diary.events[-1]
        assert isinstance(last, ReconnectFailed)
        assert isinstance(last.error, DeviceNotFound)
        assert manager.statistics().reconnect_failures == 1
        assert (await manager.health()).status == "unhealthy"


@pytest.mark.parametrize("chance", [0.0, 0.25, 1.0])
async def test_a_delay_is_any_part_of_the_whole(chance: float) -> None:
    board = ScriptedBoard("jitter")
    manager, diary = manager_with(chance)
    async with manager:
        await manager.create_session("a", board.port, reconnect_delay=8, **UNWATCHED)
        board.lose()
        await asyncio.sleep(10)
        assert diary.entries[-1] == (8 * chance, "a", "SessionConnected")


async def test_after_giving_up_the_next_use_connects_and_a_new_loss_is_followed_again() -> None:
    board = ScriptedBoard("later")
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, max_reconnect_attempts=1, **UNWATCHED)
        board.unplug()
        await asyncio.sleep(100)
        with pytest.raises(DeviceNotFound):
            await session.execute("1")
        await asyncio.sleep(100)
        assert sum("Reconnecting" in entry[2] for entry in diary.take()) == 1  # a use that fails begins nothing
        board.replug()
        await session.execute("1")
        board.lose()
        await asyncio.sleep(10)
        assert [entry[2] for entry in diary.take()][-3:] == [
            "SessionDisconnected unexpected",
            "Reconnecting 1 1",
            "SessionConnected",
        ]


@pytest.mark.parametrize("ending", ["disconnect", "close"])
@pytest.mark.parametrize("when", [0.5, 1.5])
async def test_nothing_is_tried_after_a_disconnect(ending: str, when: float) -> None:
    board = ScriptedBoard("stop")
    board.about = Pause(2.0)  # the attempt takes its time, and fails
    manager, diary = manager_with()
    async with manager:
        board.about = None
        session = await manager.create_session("a", board.port, **UNWATCHED)
        board.about = (Pause(2.0),)
        board.lose()
        await asyncio.sleep(when)
        await getattr(session, ending)()
        seen = board.connections
        diary.take()
        await asyncio.sleep(1000)
        assert board.connections == seen
        assert diary.take() == []
        assert manager._watch.reconnection._series == {}


async def test_a_lease_that_comes_meanwhile_connects_and_ends_the_waiting() -> None:
    board = ScriptedBoard("lease")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, reconnect_delay=30, **UNWATCHED)
        board.lose()
        await asyncio.sleep(1)
        async with manager.lease("a") as session:
            await session.execute("1")
            await asyncio.sleep(100)
        await asyncio.sleep(100)
        assert [entry[2] for entry in diary.take() if "Lease" not in entry[2]] == [
            "SessionCreated",
            "SessionConnected",
            "SessionDisconnected unexpected",
            "Reconnecting 1 30",
            "SessionConnected",
        ]
        assert manager.statistics().reconnects == 0


async def test_who_has_the_board_leased_connects_by_himself() -> None:
    board = ScriptedBoard("holder")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, **UNWATCHED)
        async with manager.lease("a") as session:
            diary.take()
            board.lose()
            await asyncio.sleep(100)
            assert [entry[2] for entry in diary.take()] == ["SessionDisconnected unexpected"]
            await session.execute("1")
            assert [entry[2] for entry in diary.take()] == ["SessionConnected"]
            board.lose()
            await asyncio.sleep(1)
            diary.take()
        await asyncio.sleep(10)
        assert [entry[2].split()[0] for entry in diary.take()] == ["LeaseReleased", "Reconnecting", "SessionConnected"]


async def test_there_is_one_attempt_at_a_time() -> None:
    board = ScriptedBoard("one")
    manager, _ = manager_with(0.0)
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        board.lose()
        board.about = (Pause(5.0), "x\n")
        await until(lambda: board.connections == 2)
        calls = [asyncio.ensure_future(session.execute("1")) for _ in range(3)]
        await asyncio.sleep(4)
        assert board.connections == 2
        board.about = None
        await asyncio.gather(*calls)
        assert board.connections == 3


async def test_waking_lets_an_attempt_go_at_once() -> None:
    board = ScriptedBoard("wake")
    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, reconnect_delay=30, **UNWATCHED)
        assert not manager._watch.reconnection.wake("a")
        board.lose()
        await asyncio.sleep(3)
        assert manager._watch.reconnection.wake("a")
        assert not manager._watch.reconnection.wake("b")
        await asyncio.sleep(1)
        assert diary.entries[-1] == (3.0, "a", "SessionConnected")


async def test_another_board_ends_the_attempts_and_the_next_user_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    board = ScriptedBoard("other")
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, **UNWATCHED)
        monkeypatch.setattr(housekeeping, "FACTS", {**housekeeping.FACTS, "u": "0badcafe"})
        board.lose()
        await asyncio.sleep(100)
        last = diary.events[-1]
        assert isinstance(last, ReconnectFailed)
        assert isinstance(last.error, IdentityChanged)
        assert last.attempts == 1
        several = [session.execute("1"), session.execute("2"), session.connect(), session.connect()]
        for result in await asyncio.gather(*several, return_exceptions=True):
            assert isinstance(result, IdentityChanged)
        with pytest.raises(IdentityChanged):
            async with manager.lease("a"):
                raise AssertionError("nobody has accepted the other board")
        await session.connect()  # who calls this now has been told
        await session.execute("1")


async def test_a_board_that_cannot_be_set_up_is_given_up() -> None:
    board = ScriptedBoard("setup")
    broken = False

    async def prepare(session: DeviceSession) -> None:
        if broken:
            raise ValueError("no")

    manager, diary = manager_with()
    async with manager:
        await manager.create_session("a", board.port, on_connect=prepare, **UNWATCHED)
        diary.take()
        broken = True
        board.lose()
        await asyncio.sleep(100)
        assert [entry[2] for entry in diary.take()] == [
            "SessionDisconnected unexpected",
            "Reconnecting 1 1",
            "SessionConnected",
            "SessionDisconnected requested",
            "Reconnecting 2 2",
            "SessionConnected",
            "SessionDisconnected requested",
            "Reconnecting 3 4",
            "SessionConnected",
            "SessionDisconnected requested",
            "ReconnectFailed 3",
        ]
        last = diary.events[-1]
        assert isinstance(last, ReconnectFailed)
        assert isinstance(last.error, ConnectionFailed)


async def test_without_the_option_nothing_is_tried() -> None:
    board = ScriptedBoard("manual")
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, enable_auto_reconnect=False, **UNWATCHED)
        diary.take()
        board.lose()
        await asyncio.sleep(1000)
        assert [entry[2] for entry in diary.take()] == ["SessionDisconnected unexpected"]
        with pytest.raises(BelayError):
            await session.execute("1")


async def test_a_first_connect_that_fails_is_not_tried_again() -> None:
    board = ScriptedBoard("first")
    board.unplug()
    manager, diary = manager_with()
    async with manager:
        session = await manager.create_session("a", board.port, connect=False, **UNWATCHED)
        with pytest.raises(DeviceNotFound):
            await session.execute("1")
        await asyncio.sleep(1000)
        assert [entry[2] for entry in diary.take()] == ["SessionCreated", "SessionError"]


async def test_others_keep_their_room() -> None:
    """A lost board gives its room up, and takes it again when there is some."""
    first, second = ScriptedBoard("first-room"), ScriptedBoard("second-room")
    manager, _ = manager_with(max_sessions=1)
    async with manager:
        await manager.create_session("a", first.port, **UNWATCHED)
        first.lose()
        await asyncio.sleep(0.5)
        await manager.create_session("b", second.port, **UNWATCHED)
        await asyncio.sleep(100)
        assert not first.connected
        assert (await manager.health()).reasons[0].startswith("a: its link was lost")
        await manager.remove("b")
        await asyncio.sleep(1)
        assert first.connected


async def test_closing_the_manager_ends_the_attempts() -> None:
    board = ScriptedBoard("closing")
    manager, diary = manager_with()
    await manager.create_session("a", board.port, reconnect_delay=30, **UNWATCHED)
    board.lose()
    await asyncio.sleep(1)
    await manager.close()
    assert [entry[2] for entry in diary.take()][-2:] == ["Reconnecting 1 30", "SessionDisposed"]
    assert not manager._pool.tasks
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)
