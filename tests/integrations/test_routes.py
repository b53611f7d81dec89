"""The routes show what the manager knows, and close sessions."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import asyncio
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import quote

import pytest
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient

from belay_py import BelayError, DeviceSession
from belay_py.integrations.fastapi import (
    ClosedSession,
    DeviceDetails,
    Health,
    devices_router,
    health_router,
    leased,
    router,
)

from .conftest import Application
from .serving import serving, until

PROBLEM = "application/problem+json"


@pytest.fixture
def client(application: Application) -> Iterator[TestClient]:
    application.app.include_router(router)
    with TestClient(application.app) as client:
        yield client


def run(client: TestClient, application: Application, device_id: str, code: str = "1 + 1") -> None:
    async def evaluate() -> None:
        async with application.manager.lease(device_id) as session:
            await session.evaluate(code)

    assert client.portal is not None
    client.portal.call(evaluate)


def test_devices_are_listed_and_not_touched(client: TestClient, application: Application) -> None:
    assert client.get("/devices").json()[2] == {
        "device_id": "away",
        "port": "/dev/there-is-no-such-port",
        "tags": ["lost"],
        "state": None,
    }
    assert [device["device_id"] for device in client.get("/devices").json()] == ["left", "right", "away"]
    assert client.get("/sessions").json() == []
    assert client.get("/devices/left").json()["session"] is None
    assert application.manager.statistics().connects == 0


def test_a_device_with_a_session(client: TestClient, application: Application) -> None:
    run(client, application, "left")
    run(client, application, "right")
    details = DeviceDetails.model_validate(client.get("/devices/left").json())
    assert details.state is not None
    assert (details.tags, details.state.name) == (["bench", "dry"], "IDLE")
    assert details.session is not None
    assert (details.session.operations, details.session.generation) == (1, 1)
    assert details.board is not None
    assert details.board.implementation == "micropython"
    longest_unused, other = client.get("/sessions").json()  # having looked at it was no use of it
    assert (longest_unused["device_id"], other["device_id"]) == ("left", "right")
    assert longest_unused["session_id"] == details.session.session_id


def test_a_session_that_was_never_connected(client: TestClient, application: Application) -> None:
    with pytest.raises(BelayError):
        run(client, application, "away")
    details = client.get("/devices/away").json()
    assert (details["state"], details["board"], details["session"]["generation"]) == ("error", None, 0)


def test_options_that_the_program_gave_a_device_are_shown_without_a_session_too(
    client: TestClient, application: Application
) -> None:
    async def replace() -> None:
        await application.manager.create_session("left", "virtual:replaced", tags={"new"}, connect=False)

    assert client.portal is not None
    client.portal.call(replace)
    assert client.delete("/devices/left").json()["closed"] is True
    [left] = [device for device in client.get("/devices").json() if device["device_id"] == "left"]
    assert (left["state"], left["port"], left["tags"]) == (None, "virtual:replaced", ["new"])


@pytest.mark.parametrize("name", ["pi.co", "käse 北", "usb:1-2", "50%", "a?b#c"])
def test_names_of_any_letters_but_slashes(client: TestClient, application: Application, name: str) -> None:
    async def make() -> None:
        await application.manager.create_session(name, "virtual:", connect=False)

    assert client.portal is not None
    client.portal.call(make)
    path = f"/devices/{quote(name, safe='')}"
    assert client.get(path).json()["device_id"] == name
    assert client.delete(path).json()["closed"] is True


def test_a_finding_of_a_health_check_is_shown(client: TestClient, application: Application) -> None:
    async def checked() -> None:
        manager = application.manager
        await manager.create_session("checked", "virtual:", health_check_interval=0.01, check_after=0)
        while "checked" not in (await manager.health()).findings:
            await asyncio.sleep(0.001)

    assert client.portal is not None
    client.portal.call(checked)
    finding = client.get("/devices/checked").json()["finding"]
    assert (finding["ok"], finding["heap_free"] > 0) == (True, True)


def test_closing_a_session_answers_with_its_id_and_closing_none_says_so(
    client: TestClient, application: Application
) -> None:
    run(client, application, "left", "1")
    [session] = client.get("/sessions").json()
    closed = client.delete("/devices/left")
    assert closed.status_code == 200
    assert closed.json() == {"device_id": "left", "closed": True, "session_id": session["session_id"]}
    again = client.delete("/devices/left")
    assert ClosedSession.model_validate(again.json()) == ClosedSession(device_id="left", closed=False, session_id=None)
    unknown = client.delete("/devices/lefft")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:belay-py:DeviceNotFound")
    run(client, application, "left")  # a device of the settings comes back
    assert client.get("/sessions").json()[0]["session_id"] != session["session_id"]


def test_a_device_that_the_program_made_goes_with_its_session(client: TestClient, application: Application) -> None:
    async def make() -> str:
        return (await application.manager.create_session("made", "virtual:")).session_id

    assert client.portal is not None
    session_id = client.portal.call(make)
    assert client.delete("/devices/made").json()["session_id"] == session_id
    assert client.get("/devices/made").status_code == 404


async def test_closing_a_session_ends_the_request_that_has_it(application: Application) -> None:
    application.app.include_router(router)

    @application.app.get("/run")
    async def run_for_ever(session: Annotated[DeviceSession, Depends(leased("left"))]) -> None:
        await session.execute("while True: pass", timeout=60)

    async with serving(application.app) as service:
        running = asyncio.create_task(service.get("/run"))
        await until(lambda: "left" in application.manager and application.manager["left"].state.name == "ACTIVE")
        assert (await service.client.delete("/devices/left")).json()["closed"] is True
        assert (await running).status_code in (502, 503)
        await until(lambda: application.held == 0)


def test_health(client: TestClient, application: Application) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}
    run(client, application, "left")
    ready = client.get("/health/ready")
    health = Health.model_validate(ready.json())
    assert (ready.status_code, health.status, health.idle, health.max_sessions) == (200, "healthy", 1, 100)
    with pytest.raises(BelayError):
        run(client, application, "away")
    degraded = client.get("/health/ready")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert degraded.json()["reasons"][0].startswith("away: it is in ERROR")
    assert client.portal is not None
    client.portal.call(application.manager.close)
    unhealthy = client.get("/health/ready")
    assert (unhealthy.status_code, unhealthy.json()["status"]) == (503, "unhealthy")
    assert client.get("/health/live").status_code == 200


def test_devices_can_be_kept_from_who_may_only_ask_for_health(application: Application) -> None:
    async def nobody() -> None:
        raise HTTPException(401)

    application.app.include_router(devices_router, prefix="/admin", dependencies=[Depends(nobody)])
    application.app.include_router(health_router)
    with TestClient(application.app) as client:
        assert client.delete("/admin/devices/left").status_code == 401
        assert client.get("/health/ready").status_code == 200


def test_openapi_is_typed(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, answers in document["paths"].items():
        for method, operation in answers.items():
            schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
            assert "$ref" in schema or "$ref" in schema["items"], (method, path)
            assert operation["description"]
    assert set(document["paths"]) == {"/devices", "/devices/{device_id}", "/sessions", "/health/live", "/health/ready"}
    assert "idle" in document["components"]["schemas"]["DeviceSessionState"]["enum"]
    of_devices = [answers for path, answers in document["paths"].items() if not path.startswith("/health")]
    for operation in [operation for answers in of_devices for operation in answers.values()]:
        assert operation["tags"] == ["devices"]
        expected = {"404"} if operation.get("parameters") else set()
        problems = {status for status, answer in operation["responses"].items() if PROBLEM in answer.get("content", {})}
        assert problems == expected
    operations = [operation for answers in document["paths"].values() for operation in answers.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
