"""Clients that go away: their leases are over at once. Over a real server on loopback."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import asyncio
import contextlib
import logging
from typing import Annotated, Any

import pytest
from fastapi import Depends, Request
from starlette.middleware.base import BaseHTTPMiddleware

from belay_py import Interrupted, SessionClosed

from .conftest import Application
from .endpoints import Left, Watched, add_reading
from .serving import serving, until


@pytest.mark.parametrize("middleware", [False, True])
async def test_a_client_that_goes_away_while_its_code_runs(application: Application, middleware: bool) -> None:
    watched = Watched(application)
    add_reading(application)
    if middleware:  # which has the application in a task of its own, and its messages through its hands
        application.app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, follow: follow(request))
    async with serving(application.app) as service:
        async with service.going("/run"):
            await watched.inside.wait()
            await until(lambda: application.manager["left"].state.name == "ACTIVE")
        assert (await service.get("/read/left")).json()["value"] == 42
        await until(lambda: len(watched.errors) == 1)
        assert isinstance(watched.errors[0], Interrupted)
        await until(lambda: application.held == 0)


async def test_a_client_that_goes_away_frees_its_board_before_its_endpoint_ends(application: Application) -> None:
    watched = Watched(application)
    add_reading(application)
    async with serving(application.app) as service:
        async with service.going("/hold"):
            await watched.inside.wait()
            assert application.held == 1
        assert (await service.get("/read/left")).json()["held"] == 1
        assert not watched.errors  # it waits still
        watched.go_on.set()
        await until(lambda: len(watched.errors) == 1)
    assert isinstance(watched.errors[0], SessionClosed)


async def test_a_client_that_goes_away_leaves_the_queue(application: Application) -> None:
    watched = Watched(application)
    async with serving(application.app) as service:
        holding = asyncio.create_task(service.get("/hold"))
        await watched.inside.wait()
        async with service.going("/hold"):
            await until(lambda: application.manager.statistics().waiting == 1)
        await until(lambda: application.manager.statistics().waiting == 0)
        watched.go_on.set()
        assert (await holding).status_code == 200
        assert application.manager.statistics().leases_granted == 1


async def test_a_server_that_ends_while_a_request_has_a_board(application: Application) -> None:
    watched = Watched(application)
    async with contextlib.AsyncExitStack() as clients:
        async with serving(application.app, timeout_graceful_shutdown=0) as service:
            await clients.enter_async_context(service.going("/run"))
            await watched.inside.wait()
            await until(lambda: application.manager["left"].state.name == "ACTIVE")
        assert (application.manager.state, application.held) == ("closed", 0)


async def test_a_slow_upload_holds_no_board(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched = Watched(application)
    seen: list[str] = []

    @application.app.middleware("http")
    async def tell(request: Request, follow: Any) -> Any:
        seen.append(request.url.path)
        return await follow(request)

    async with serving(application.app) as service:
        async with service.vanishing("POST /run HTTP/1.1\nHost: here\nContent-Length: 10\n\nhalf"):
            await until(lambda: seen == ["/run"])
            assert application.manager.statistics().leases_granted == 0
        await until(lambda: any("the client is gone" in message for message in caplog.messages))
        assert not watched.inside.is_set()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_body_is_there_for_the_endpoint(application: Application) -> None:
    async def swallow(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @application.app.post("/body")
    async def body(session: Left, request: Request) -> str:
        return (await request.body()).decode()

    @application.app.post("/swallowed")
    async def swallowed(length: Annotated[int, Depends(swallow)], session: Left) -> int:
        return length

    async with serving(application.app) as service:
        assert (await service.client.post("/body", content=b"five!")).json() == "five!"
        assert (await service.client.post("/swallowed", content=b"five!")).json() == 5
        await until(lambda: application.held == 0)


async def test_a_client_that_goes_away_in_the_turn_of_the_loop_in_which_its_board_comes(
    application: Application,
) -> None:
    watched = Watched(application)
    gone = asyncio.Event()
    messages: list[dict[str, Any]] = []

    first = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in first:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    async with application.app.router.lifespan_context(application.app) as state:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "path": "/hold",
            "query_string": b"",
            "headers": [],
            "state": state,
        }
        lease = application.manager.lease("left")
        await lease.acquire()
        request = asyncio.create_task(application.app(scope, receive, send))
        await until(lambda: application.manager.statistics().waiting == 1)
        gone.set()
        lease.release()
        await until(request.done)
        assert application.manager.statistics().leases_granted == 2
        assert application.held == 0
    assert not watched.inside.is_set()
    assert messages[0]["status"] == 503
