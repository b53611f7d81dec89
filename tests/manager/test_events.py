"""What a manager tells, on real boards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py import DeviceSessionManager
from belay_py.events import (
    LeaseGranted,
    LeaseReleased,
    SessionConnected,
    SessionCreated,
    SessionDisconnected,
    SessionDisposed,
    SessionEvent,
    StateChanged,
)
from belay_py.lifecycle import TABLE

if TYPE_CHECKING:
    import pytest


async def test_the_events_of_a_session_from_its_making_to_its_end(port: str) -> None:
    told: list[SessionEvent] = []
    async with DeviceSessionManager() as manager:
        manager.subscribe(told.append)
        session = await manager.create_session("sensor", port)
        async with manager.lease("sensor") as mine:
            await mine.execute("1")
        await manager.remove("sensor")
    changes = [event for event in told if isinstance(event, StateChanged)]
    assert all((change.old, change.new) in {(old, new) for (old, _), new in TABLE.items()} for change in changes)
    assert [change.old for change in changes[1:]] == [change.new for change in changes[:-1]]
    others = [event for event in told if not isinstance(event, StateChanged)]
    assert [type(event) for event in others] == [
        SessionCreated,
        SessionConnected,
        LeaseGranted,
        LeaseReleased,
        SessionDisconnected,
        SessionDisposed,
    ]
    assert all(event.session is session for event in told)
    assert [event.at for event in told] == sorted(event.at for event in told)
    granted, released = others[2:4]
    assert isinstance(granted, LeaseGranted)
    assert isinstance(released, LeaseReleased)
    assert granted.holder == released.holder
    assert "test_events.py:" in granted.holder
    assert granted.lease_id == released.lease_id


async def test_a_listener_may_execute_on_the_session_and_comes_before_who_asks_later(port: str) -> None:
    async def set_up(event: SessionEvent) -> None:
        if isinstance(event, SessionConnected):
            await event.session.execute("ready = 'yes'")

    async with DeviceSessionManager() as manager:
        manager.subscribe(set_up)
        session = await manager.create_session("sensor", port)
        async with manager.lease("sensor") as mine:
            assert await mine.evaluate("ready") == "yes"
            await mine.execute("ready = 'no'")
            await mine.reconnect()
        while await session.evaluate("ready") != "yes":  # after the lease, in which nobody comes between
            await asyncio.sleep(0)


async def test_a_listener_that_raises_changes_nothing(port: str, caplog: pytest.LogCaptureFixture) -> None:
    def bad(event: SessionEvent) -> None:
        raise ValueError("bad listener")

    async with DeviceSessionManager() as manager:
        unsubscribe = manager.subscribe(bad)
        session = await manager.create_session("sensor", port)
        assert (await session.execute("print(1)")).output == "1\n"
        assert "bad listener" in caplog.text
        unsubscribe()
        caplog.clear()
        assert (await session.execute("print(2)")).output == "2\n"
        assert "bad listener" not in caplog.text


async def test_who_listens_to_one_session_is_told_of_its_leases(port: str) -> None:
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("sensor", port)
        told: list[type[SessionEvent]] = []
        session.subscribe(lambda event: told.append(type(event)))
        async with manager.lease("sensor"):
            pass
        assert told == [LeaseGranted, LeaseReleased]
