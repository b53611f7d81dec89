"""The manager lives as long as the application."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from belay_py import (
    ConnectionFailed,
    DeviceSession,
    DeviceSessionFactory,
    DeviceSessionManager,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    Lease,
    SettingsError,
    sync,
)
from belay_py.integrations.fastapi import handle_errors, leased, lifespan, manager_of, router


def test_the_manager_is_open_while_the_application_is(ports: tuple[str, str]) -> None:
    kept: list[DeviceSessionManager] = []

    async def prepare(manager: DeviceSessionManager) -> None:
        kept.append(manager)
        await manager.create_session("made", ports[0])

    app = FastAPI(lifespan=lifespan(DeviceSessionManager().options, prepare=prepare))
    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/devices").json()[0]["device_id"] == "made"
        assert kept[0].state == "open"
    assert kept[0].state == "closed"


def test_without_settings_they_come_from_where_they_always_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = FastAPI(lifespan=lifespan())  # they are read when it starts
    app.include_router(router)
    settings = tmp_path / "belay.toml"
    settings.write_text('[devices.pump]\nport = "virtual:"\n', encoding="utf-8")
    with TestClient(app) as client:
        assert client.get("/devices").json()[0]["device_id"] == "pump"
    settings.write_text("max_sesions = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="max_sessions"), TestClient(app):
        pass


def test_an_application_with_a_lifespan_of_its_own_enters_this_one(ports: tuple[str, str]) -> None:
    boards = lifespan(DeviceSessionManager(devices={"left": DeviceSessionOptions(port=ports[0])}).options)

    @contextlib.asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with boards(app) as state:
            yield {**state, "database": "open"}

    app = FastAPI(lifespan=both)
    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/devices/left").status_code == 200


def test_a_mounted_application_has_the_manager_of_the_other(ports: tuple[str, str]) -> None:
    inner = FastAPI()
    inner.include_router(router)
    handle_errors(inner)
    options = DeviceSessionManagerOptions(devices={"left": DeviceSessionOptions(port=ports[0])})
    outer = FastAPI(lifespan=lifespan(options))
    outer.mount("/inner", inner)
    with TestClient(outer) as client:
        assert client.get("/inner/devices/left").json()["device_id"] == "left"
        assert client.get("/inner/devices/lost").json()["instance"] == "/inner/devices/lost"


def test_an_application_may_start_again(ports: tuple[str, str]) -> None:
    app = FastAPI(lifespan=lifespan(DeviceSessionManagerOptions(devices={"left": DeviceSessionOptions(port=ports[0])})))

    @app.get("/read")
    async def read(session: Annotated[DeviceSession, Depends(leased("left"))]) -> Any:
        return await session.evaluate("6 * 7")

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/read").json() == 42


def test_an_application_that_cannot_start_leaves_nothing_open(ports: tuple[str, str]) -> None:
    kept: list[DeviceSessionManager] = []

    async def prepare(manager: DeviceSessionManager) -> None:
        kept.append(manager)
        await manager.create_session("left", ports[0])
        raise ConnectionFailed("the other board is not there")

    app = FastAPI(lifespan=lifespan(DeviceSessionManagerOptions(), prepare=prepare))
    with pytest.raises(ConnectionFailed, match="the other board"), TestClient(app):
        pass
    assert (kept[0].state, len(kept[0])) == ("closed", 0)


def test_leases_that_are_held_at_the_end_get_the_grace(ports: tuple[str, str]) -> None:
    held: list[Lease[DeviceSession]] = []

    async def hold(manager: DeviceSessionManager) -> None:
        await manager.create_session("made", ports[0])
        held.append(manager.lease("made"))
        await held[0].acquire()

    app = FastAPI(lifespan=lifespan(DeviceSessionManagerOptions(close_grace=3600), prepare=hold, grace=0))
    with TestClient(app):
        assert "held" in repr(held[0])
    assert "released" in repr(held[0])


def test_an_application_without_a_manager_says_how_to_give_it_one(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    handle_errors(app)
    app.include_router(router)
    assert TestClient(app).get("/devices").status_code == 500
    assert "lifespan=belay_py.integrations.fastapi.lifespan(...)" in caplog.text


def test_a_test_may_put_its_own_manager_in_place(ports: tuple[str, str]) -> None:
    app = FastAPI()
    app.include_router(router)
    other = DeviceSessionManager(devices={"other": DeviceSessionOptions(port=ports[0])})
    app.dependency_overrides[manager_of] = lambda: other
    with TestClient(app) as client:
        assert client.get("/devices").json()[0]["device_id"] == "other"


async def test_a_manager_and_a_single_board_are_both_factories_of_sessions(ports: tuple[str, str]) -> None:
    async def read(sessions: DeviceSessionFactory) -> Any:
        async with sessions("left", timeout=10) as session:
            return await session.evaluate("6 * 7")

    async with DeviceSessionManager(devices={"left": DeviceSessionOptions(port=ports[0])}) as manager:
        assert await read(manager.lease) == 42
    assert await read(lambda device_id, *, timeout=None: DeviceSession(ports[1], device_id=device_id)) == 42


def test_a_blocking_manager_and_a_single_board_are_both_blocking_factories(ports: tuple[str, str]) -> None:
    def read(sessions: sync.DeviceSessionFactory) -> Any:
        with sessions("left", timeout=10) as session:
            return session.evaluate("6 * 7")

    with sync.DeviceSessionManager(devices={"left": DeviceSessionOptions(port=ports[0])}) as manager:
        assert read(manager.lease) == 42
    assert read(lambda device_id, *, timeout=None: sync.DeviceSession(ports[1], device_id=device_id)) == 42
