"""Sessions of a manager by their names, on real boards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BelayError,
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    DeviceSessionState,
    SessionClosed,
    SettingsError,
    load_settings,
)
from belay_py.events import SessionConnected, SessionCreated, SessionDisposed, SessionEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..conftest import PtyBoard

State = DeviceSessionState


async def test_a_session_is_made_found_used_and_removed(port: str) -> None:
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("sensor", DeviceSessionOptions(port=port, tags=frozenset({"pico"})))
        assert session.state is State.CONNECTED
        assert session.device_id == "sensor"
        assert manager.get("sensor") is session is manager["sensor"]
        assert (manager.ids(), len(manager), list(manager)) == (("sensor",), 1, [session])
        assert "sensor" in manager
        assert "other" not in manager
        assert (await session.execute("print('hi')")).output == "hi\n"
        assert manager.find(tags={"pico"}) == manager.find(port=port) == manager.find(state=State.IDLE) == [session]
        assert manager.find(identity=session.info.unique_id) == [session]
        assert manager.find(tags={"esp"}) == manager.find(identity="none") == manager.find(state=State.ERROR) == []
        assert await manager.remove("sensor")
        assert not await manager.remove("sensor")
        assert session.state is State.DISPOSED
        assert (manager.get("sensor"), manager.ids()) == (None, ())
        with pytest.raises(SessionClosed, match="closed for good"):
            await session.execute("1")


async def test_a_name_that_is_taken_is_an_error_unless_it_is_to_be_replaced(port: str) -> None:
    async with DeviceSessionManager() as manager:
        first = await manager.create_session("sensor", port)
        with pytest.raises(SettingsError, match="there is a session 'sensor' already; get\\(\\) it"):
            await manager.create_session("sensor", port)
        assert (await first.execute("print(1)")).output == "1\n"
        second = await manager.create_session("sensor", port, replace=True, operation_timeout=3)
        assert first.state is State.DISPOSED
        assert second is manager["sensor"]
        assert second.options.operation_timeout == 3


async def test_a_session_that_cannot_be_connected_leaves_nothing_and_its_name_is_free(port: str) -> None:
    async with DeviceSessionManager() as manager:
        told: list[SessionEvent] = []
        manager.subscribe(told.append)
        with pytest.raises(DeviceNotFound, match="there is no"):
            await manager.create_session("sensor", "/dev/no-such-port")
        assert manager.ids() == manager.devices() == ()
        assert isinstance(told[0], SessionCreated)
        assert isinstance(told[-1], SessionDisposed)
        session = await manager.create_session("sensor", port)
        assert (await session.execute("print(2)")).output == "2\n"


async def test_ensure_makes_a_session_once_whoever_asks(port: str) -> None:
    async with DeviceSessionManager() as manager:
        told: list[SessionEvent] = []
        manager.subscribe(lambda event: told.append(event) if isinstance(event, SessionConnected) else None)
        sessions = await asyncio.gather(*(manager.ensure("sensor", port) for _ in range(5)))
        assert {id(session) for session in sessions} == {id(manager["sensor"])}
        assert len(told) == 1


async def test_ensure_tries_itself_when_the_one_that_it_waited_for_failed(port: str) -> None:
    async with DeviceSessionManager() as manager:
        first = asyncio.ensure_future(manager.ensure("sensor", "/dev/no-such-port"))
        await asyncio.sleep(0)
        session = await manager.ensure("sensor", port)
        assert session.options.port == port
        with pytest.raises(DeviceNotFound):
            await first


async def test_devices_of_the_settings_are_connected_by_their_first_use(port: str) -> None:
    devices = {"sensor": DeviceSessionOptions(port=port), "gone": DeviceSessionOptions(port="/dev/no-such-port")}
    async with DeviceSessionManager(devices=devices) as manager:
        assert manager.devices() == ("sensor", "gone")
        assert manager.ids() == ()
        session = manager["sensor"]
        assert session.state is State.CREATED
        assert (await session.execute("print(3)")).output == "3\n"
        with pytest.raises(DeviceNotFound, match="no-such-port"):
            await manager.create_session("gone")
        assert manager.devices() == ("sensor", "gone"), "a device of the settings stays known"
        with pytest.raises(DeviceNotFound, match="there is no device 'sensr'; did you mean 'sensor'?"):
            manager["sensr"]


async def test_profiles_and_defaults_are_under_what_a_session_says_itself(port: str) -> None:
    options = DeviceSessionManagerOptions(
        defaults={"operation_timeout": 7, "tags": {"any"}, "retry": {"max_attempts": 5}},
        profiles={"slow": {"operation_timeout": 60, "retry": {"delay": 2}}},
    )
    async with DeviceSessionManager(options, max_sessions=3) as manager:
        plain = await manager.create_session("plain", port, connect=False)
        slow = await manager.create_session("slow", port, profile="slow", connect=False, idle_timeout=5)
        assert (plain.options.operation_timeout, plain.options.tags) == (7, {"any"})
        assert (slow.options.operation_timeout, slow.options.idle_timeout) == (60, 5)
        assert slow.options.retry is not None
        assert (slow.options.retry.max_attempts, slow.options.retry.delay) == (5, 2)
        assert manager.options.max_sessions == 3
        own = manager.build_session("slow", port)
        assert isinstance(own, DeviceSession)
        assert (own.options.operation_timeout, own.options.tags) == (60, {"any"})
        assert own not in list(manager)
        with pytest.raises(SettingsError, match="there is no profile 'slw'; did you mean 'slow'?"):
            manager.build_session("slw", port)


async def test_the_order_of_last_use() -> None:
    async with DeviceSessionManager() as manager:
        for name in ("a", "b", "c"):
            await manager.create_session(name, "virtual:")
        async with manager.lease("a"):
            pass
        manager.get("b")
        assert [session.device_id for session in manager.sessions_by_last_used()] == ["c", "a", "b"]
        async with manager.lease("c"):
            assert [session.device_id for session in manager.idle_sessions()] == ["a", "b"]
        assert manager.idle_sessions(older_than=60) == []


async def test_two_sessions_on_one_port_are_refused(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board()
    async with DeviceSessionManager() as manager:
        await manager.create_session("one", board.port)
        with pytest.raises(DeviceBusy, match="in use"):
            await manager.create_session("two", board.port)
        assert manager.ids() == ("one",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_session": 3}, "there is no option 'max_session'; did you mean 'max_sessions'?"),
        ({"max_sessions": 0}, "max_sessions is 0; it must be a whole number of at least 1"),
        ({"warm_up": ("sensor",)}, "warm_up has 'sensor' in it, which is no device; the devices are none"),
        ({"defaults": {"baudrat": 1}}, "defaults: there is no option 'baudrat'; did you mean 'baudrate'?"),
        ({"on_close": "explode"}, 'on_close is \'explode\'; it must be "stop" or "leave"'),
    ],
)
def test_wrong_options_of_a_manager(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        DeviceSessionManager(**wrong)
    assert str(caught.value) == message


async def test_wrong_calls() -> None:
    with pytest.raises(SettingsError, match="the settings are 'belay.toml'; pass"):
        DeviceSessionManager("belay.toml")  # type: ignore[arg-type]  # what is wrong with it
    async with DeviceSessionManager() as manager:
        with pytest.raises(SettingsError, match="device_id is ''"):
            await manager.create_session("", "virtual:")
        with pytest.raises(SettingsError, match="'sensor' needs a port, since no device has that name"):
            await manager.create_session("sensor")
        with pytest.raises(SettingsError, match="tags is 'pico'; it must be a set of names"):
            manager.lease(tags="pico")
        with pytest.raises(SettingsError, match="needs the name of a device, or tags"):
            manager.lease()  # type: ignore[call-overload]  # what is wrong with it
        with pytest.raises(SettingsError, match="names a device twice"):
            manager.lease("a", "a")
        with pytest.raises(SettingsError, match="count is 0"):
            manager.lease(tags={"a"}, count=0)
        with pytest.raises(SettingsError, match="timeout is -1"):
            manager.lease("a", timeout=-1)


async def test_settings_from_a_file_are_a_managers(port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "belay.toml"
    device = f'[devices.sensor]\nport = "{port}"\ntags = ["pico"]\n'
    file.write_text(f'max_sessions = 7\n[session]\nidle_timeout = "5m"\n{device}')
    monkeypatch.setenv("BELAY_SESSION__OPERATION_TIMEOUT", "3")
    async with DeviceSessionManager(load_settings(file)) as manager:
        assert manager.options.max_sessions == 7
        async with manager.lease(tags={"pico"}) as session:
            assert (await session.execute("print(1)")).output == "1\n"
        assert (session.options.idle_timeout, session.options.operation_timeout) == (300, 3)
        other = await manager.create_session("other", "virtual:", connect=False)
        assert (other.options.idle_timeout, other.options.operation_timeout) == (300, 3)


def test_a_manager_is_for_one_event_loop() -> None:
    manager = DeviceSessionManager()
    with pytest.raises(BelayError, match="and none runs here; await it in one, or use belay_py.sync"):
        manager.lease("sensor")

    async def use() -> None:
        manager.get("sensor")

    asyncio.run(use())
    with pytest.raises(BelayError, match="belongs to another event loop; make one in each"):
        asyncio.run(use())
