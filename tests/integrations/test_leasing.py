"""A request has its board for its own length, whatever becomes of it. Over a real server on loopback."""

# FastAPI reads the annotations of endpoints while the program runs: no postponed ones.
import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio.from_thread
import httpx2
import pytest
from fastapi import BackgroundTasks, Depends, HTTPException
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

from belay_py import DeviceSession, SessionClosed, SettingsError
from belay_py.integrations.fastapi import Manager, leased
from belay_py.virtual import VirtualBoard

from .conftest import Application
from .endpoints import FOR_EVER, Left, Watched, add_reading
from .serving import serving, until


def test_by_name_by_path_and_by_tags(application: Application) -> None:
    add_reading(application)

    @application.app.get("/tagged")
    async def tagged(session: Annotated[DeviceSession, Depends(leased(tags={"bench", "dry"}))]) -> str:
        return session.device_id

    @application.app.get("/named")
    async def named(session: Left) -> str:
        return session.device_id

    with TestClient(application.app) as client:
        assert client.get("/read/right").json() == {"device": "right", "value": 42, "held": 1}
        assert client.get("/tagged").json() == "left"
        assert client.get("/named").json() == "left"
        assert application.held == 0
        parameters = client.get("/openapi.json").json()["paths"]["/read/{board}"]["get"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in parameters] == [
        ("board", "path", True),
        ("code", "query", False),
    ]


def test_one_of_the_three_is_needed() -> None:
    wrongs: list[dict[str, Any]] = [{}, {"tags": {"a"}, "path": "b"}, {"device_id": "a", "tags": {"b"}}]
    for wrong in wrongs:
        with pytest.raises(SettingsError, match="a lease is of one"):
            leased(**wrong)


def test_a_timeout_that_is_none_is_told_when_the_application_is_made() -> None:
    for wrong in ("5", -1, float("nan")):
        with pytest.raises(SettingsError, match="timeout is .*; it must be a number of seconds"):
            leased(path="device_id", timeout=wrong)  # type: ignore[arg-type]  # what a user writes


def test_the_same_arguments_are_the_same_lease(application: Application) -> None:
    assert leased(tags=["b", "a"]) is leased(tags={"a", "b"})
    assert leased("left") is not leased("left", timeout=1)

    @application.app.get("/twice")
    async def twice(one: Left, other: Annotated[DeviceSession, Depends(leased("left"))]) -> bool:
        return one is other

    with TestClient(application.app) as client:
        assert client.get("/twice").json() is True


def test_two_kinds_of_lease_of_one_board_are_two(application: Application) -> None:
    now = leased("left", timeout=0)

    @application.app.get("/twice")
    async def twice(
        one: Annotated[DeviceSession, Depends(now, scope="function")], other: Annotated[DeviceSession, Depends(now)]
    ) -> None: ...

    add_reading(application)
    with TestClient(application.app) as client:
        assert client.get("/read/left").status_code == 200  # it is connected: no time is needed for that
        answer = client.get("/twice")
        assert (answer.status_code, application.held) == (503, 0)
    assert "left is used by GET /twice" in answer.json()["detail"]


def test_a_device_that_is_not_known_and_one_that_is_not_there(application: Application) -> None:
    add_reading(application)

    @application.app.get("/lost")
    async def lost(session: Annotated[DeviceSession, Depends(leased(tags={"lost"}))]) -> None: ...

    @application.app.get("/unheard-of")
    async def unheard_of(session: Annotated[DeviceSession, Depends(leased(tags={"unheard of"}))]) -> None: ...

    @application.app.get("/by-hand")
    async def by_hand(manager: Manager) -> None:
        await manager["away"].execute("1")

    with TestClient(application.app) as client:
        unknown = client.get("/read/lef")
        assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:belay-py:DeviceNotFound")
        assert "left" in unknown.json()["detail"]
        assert client.get("/unheard-of").status_code == 404
        for path in ("/read/away", "/lost", "/by-hand"):
            away = client.get(path)
            assert (away.status_code, away.json()["type"]) == (503, "urn:belay-py:ConnectionFailed")
            assert away.headers["Retry-After"] == "1"


def test_an_endpoint_that_raises_gives_its_board_back(application: Application) -> None:
    raised: list[Exception] = [HTTPException(418), ValueError("a bug"), SessionClosed("ours")]

    @application.app.get("/raise/{number}")
    async def fail(session: Left, number: int) -> None:
        raise raised[number]

    with TestClient(application.app, raise_server_exceptions=False) as client:
        assert [client.get(f"/raise/{number}").status_code for number in range(3)] == [418, 500, 503]
        assert application.held == 0
        assert application.manager.statistics().leases_granted == 3


async def test_a_deadline_in_an_endpoint_stops_its_board(application: Application) -> None:
    @application.app.get("/slow")
    async def slow(session: Left) -> None:
        await session.execute(FOR_EVER, timeout=0.05)

    @application.app.get("/impatient")
    async def impatient(session: Left) -> str:
        try:
            async with asyncio.timeout(0.05):
                await session.execute(FOR_EVER)
        except TimeoutError:
            return "out of time"
        return "done"

    add_reading(application)
    async with serving(application.app) as service:
        assert (await service.get("/slow")).status_code == 504
        assert (await service.get("/impatient")).json() == "out of time"
        assert (await service.get("/read/left")).json() == {"device": "left", "value": 42, "held": 1}
        await until(lambda: application.held == 0)


async def test_a_busy_board_names_the_route_that_has_it(application: Application) -> None:
    watched = Watched(application)

    @application.app.get("/try")
    async def attempt(session: Annotated[DeviceSession, Depends(leased("left", timeout=0))]) -> None: ...

    async with serving(application.app) as service:
        holding = asyncio.create_task(service.get("/hold?secret=1"))
        await watched.inside.wait()
        busy = await service.get("/try")
        watched.go_on.set()
        assert (await holding).status_code == 200
    problem = busy.json()
    assert (busy.status_code, problem["type"]) == (503, "urn:belay-py:DeviceBusy")
    assert "left is used by GET /hold;" in problem["detail"]
    assert busy.headers["Retry-After"] == "1"
    assert problem["outcome"] == "not_started"


# -- how long a lease lasts -----------------------------------------------------------------------------------------


async def test_a_stream_has_its_board_to_its_end(application: Application) -> None:
    more = asyncio.Event()

    async def lines(session: DeviceSession) -> AsyncIterator[str]:
        for number in range(2):
            yield (await session.execute(f"print({number})")).output
            await more.wait()

    @application.app.get("/stream")
    async def stream(session: Left) -> StreamingResponse:
        return StreamingResponse(lines(session))

    async with serving(application.app) as service, service.client.stream("GET", "/stream") as answer:
        pieces = answer.aiter_text()
        assert (await anext(pieces)).strip() == "0"
        assert application.held == 1
        more.set()
        assert "".join([piece async for piece in pieces]).strip() == "1"
        await until(lambda: application.held == 0)


async def test_a_lease_in_the_scope_of_the_function_ends_with_it(application: Application) -> None:
    async def held() -> AsyncIterator[str]:
        yield str(application.held)

    @application.app.get("/scoped")
    async def scoped(session: Annotated[DeviceSession, Depends(leased("left"), scope="function")]) -> StreamingResponse:
        return StreamingResponse(held())

    async with serving(application.app) as service:
        assert (await service.get("/scoped")).text == "0"


@pytest.mark.parametrize("middleware", [False, True])
async def test_a_background_task_has_its_board_to_its_end(application: Application, middleware: bool) -> None:
    answered, outputs = asyncio.Event(), list[str]()
    if middleware:
        application.app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, follow: follow(request))

    @application.app.get("/later")
    async def later(session: Left, tasks: BackgroundTasks) -> str:
        async def work() -> None:
            await answered.wait()  # by then the server says "disconnect" to who asks
            for number in range(2):
                outputs.append((await session.execute(f"print({number})")).output.strip())

        tasks.add_task(work)
        return "it is begun"

    async with serving(application.app) as service:
        async with service.going("/later") as reader:
            await reader.readuntil(b"it is begun")
            held = application.held
        answered.set()
        await until(lambda: application.held == 0)
    assert (held, outputs) == (1, ["0", "1"])


async def test_a_client_that_goes_away_in_a_stream_ends_it(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    async def lines(session: DeviceSession) -> AsyncIterator[str]:
        yield "the first\n"
        yield (await session.execute(FOR_EVER, timeout=600)).output

    @application.app.get("/stream")
    async def stream(session: Left) -> StreamingResponse:
        return StreamingResponse(lines(session))

    add_reading(application)
    async with serving(application.app) as service:
        async with service.going("/stream") as reader:
            await reader.readuntil(b"the first\n")
            await until(lambda: application.manager["left"].state.name == "ACTIVE")
        assert (await service.get("/read/left")).json() == {"device": "left", "value": 42, "held": 1}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_stream_whose_board_fails_ends_early_and_gives_it_back(application: Application) -> None:
    async def lines(session: DeviceSession) -> AsyncIterator[str]:
        yield "the first\n"
        await session.execute("1 / 0")

    @application.app.get("/stream")
    async def stream(session: Left) -> StreamingResponse:
        return StreamingResponse(lines(session))

    async with serving(application.app) as service:
        with pytest.raises(httpx2.RemoteProtocolError):  # the client is told that it is not whole
            await service.get("/stream")
        await until(lambda: application.held == 0)


async def test_an_endpoint_in_a_thread_asks_through_the_loop(application: Application) -> None:
    @application.app.get("/thread")
    def thread(session: Left) -> Any:
        return anyio.from_thread.run(session.evaluate, "6 * 7")

    async with serving(application.app) as service:
        assert (await service.get("/thread")).json() == 42
        await until(lambda: application.held == 0)


# -- in tests of services -------------------------------------------------------------------------------------------


async def test_a_dependency_may_be_nested_and_overridden(application: Application, ports: tuple[str, str]) -> None:
    class Driver:
        def __init__(self, session: Left) -> None:
            self.session = session

    @application.app.get("/driven")
    async def driven(driver: Annotated[Driver, Depends()], session: Left) -> tuple[str, bool]:
        assert await driver.session.evaluate("6 * 7") == 42
        return session.device_id, session is driver.session

    async def of_the_test() -> AsyncIterator[DeviceSession]:
        async with DeviceSession(ports[1], device_id="of the test") as session:
            yield session

    async with serving(application.app) as service:
        assert (await service.get("/driven")).json() == ["left", True]
        application.app.dependency_overrides[leased("left")] = of_the_test
        assert (await service.get("/driven")).json() == ["of the test", True]
        assert application.manager.statistics().leases_granted == 1


# -- boards that go away --------------------------------------------------------------------------------------------


async def test_a_board_that_is_unplugged_in_a_request_and_comes_back(application: Application) -> None:
    inside = asyncio.Event()

    @application.app.get("/plugged")
    async def plugged(session: Annotated[DeviceSession, Depends(leased("plugged", timeout=30))], code: str) -> str:
        inside.set()
        return (await session.execute(code, timeout=60)).output

    async def get(code: str) -> httpx2.Response:
        return await service.client.get("/plugged", params={"code": code})

    async with VirtualBoard() as board, serving(application.app) as service:
        await application.manager.create_session("plugged", board.port, max_reconnect_attempts=0)
        running = asyncio.create_task(get(FOR_EVER))
        await inside.wait()
        await until(lambda: application.manager["plugged"].state.name == "ACTIVE")
        await board.unplug()
        lost = await running
        assert (lost.status_code, lost.json()["type"]) == (502, "urn:belay-py:OutcomeUnknown")
        assert "Retry-After" not in lost.headers
        await board.replug()
        assert (await get("print('here')")).json().strip() == "here"
        await until(lambda: application.held == 0)
