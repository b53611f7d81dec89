"""A WebSocket has its board for its own length, and its client is told of errors in the way that is left."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
from typing import Annotated, Any

import pytest
from fastapi import Depends, WebSocket
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from belay_py import DeviceBusy, DeviceSession
from belay_py.integrations.fastapi import leased

from .conftest import Application
from .endpoints import Left
from .serving import until

LONG = "この板は他の人が使っています。" * 10


def test_a_websocket_has_its_board_for_its_length(application: Application) -> None:
    @application.app.websocket("/talk/{name}")
    async def talk(socket: WebSocket, session: Annotated[DeviceSession, Depends(leased(path="name"))]) -> None:
        await socket.accept()
        async for code in socket.iter_text():
            await socket.send_text((await session.execute(code)).output)

    with TestClient(application.app) as client:
        with client.websocket_connect("/talk/left") as talking:
            talking.send_text("print(6 * 7)")
            assert talking.receive_text().strip() == "42"
            assert application.held == 1
        assert client.portal is not None
        client.portal.call(until, lambda: application.held == 0)
        with client.websocket_connect("/talk/left") as talking:
            talking.send_text("1 / 0")
            with pytest.raises(WebSocketDisconnect) as closed:
                talking.receive_text()
        assert (closed.value.code, closed.value.reason) == (1011, "Execution error: ZeroDivisionError: divide by zero")
        client.portal.call(until, lambda: application.held == 0)


def test_a_websocket_that_was_not_accepted_is_answered(application: Application) -> None:
    add_endings(application)
    with TestClient(application.app) as client:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/end/left/at-once"):
            pass
        assert (denied.value.status_code, denied.value.headers["Retry-After"]) == (503, "1")
        assert denied.value.json()["type"] == "urn:belay-py:DeviceBusy"
        assert client.portal is not None
        client.portal.call(until, lambda: application.held == 0)


def add_endings(application: Application) -> None:
    @application.app.websocket("/end/left/{how}")
    async def end(socket: WebSocket, session: Left, how: str) -> None:
        if how != "at-once":
            await socket.accept()
        if how == "closed":
            await socket.close()
        raise DeviceBusy(LONG)


@pytest.mark.parametrize(
    ("how", "gone", "expected"),
    [
        ("at-once", False, ["websocket.close"]),  # where a server cannot answer
        ("accepted", False, ["websocket.accept", "websocket.close"]),
        ("closed", False, ["websocket.accept", "websocket.close"]),
        ("accepted", True, ["websocket.accept"]),
    ],
)
async def test_a_server_is_told_no_more_than_it_takes(
    application: Application, how: str, gone: bool, expected: list[str]
) -> None:
    add_endings(application)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if gone and message["type"] != "websocket.accept":
            raise OSError("the client is gone")
        sent.append(message)

    async with application.app.router.lifespan_context(application.app) as state:
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": f"/end/left/{how}",
            "query_string": b"",
            "headers": [],
            "state": state,
        }
        await application.app(scope, receive, send)
        assert application.held == 0
    assert [message["type"] for message in sent] == expected
    if how != "closed" and not gone:
        assert sent[-1]["code"] == 1013
        assert LONG.startswith(sent[-1]["reason"].removeprefix("Device busy: "))
        assert 120 < len(sent[-1]["reason"].encode()) <= 123  # RFC 6455, 5.5
