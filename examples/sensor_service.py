"""A FastAPI service of temperature sensors on analogue pins (LM35: 10 mV per degree), with its tests.

    python examples/sensor_service.py                 what it answers, with a virtual board whose pin is set
    python examples/sensor_service.py --serve         on http://127.0.0.1:8000; /docs shows its routes
    uvicorn --factory --app-dir examples sensor_service:make_app         the same, with the server's own options
    pytest examples/sensor_service.py                 its tests, on a virtual board

It needs ``pip install 'belay_py[fastapi,virtual]' uvicorn``, and ``httpx2`` for all but serving. Boards are those of
belay.toml or of ``BELAY_*`` variables; without any, one virtual board is ``north``.
"""

import argparse
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from belay_py import (
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    load_settings,
)
from belay_py.integrations.fastapi import handle_errors, leased, lifespan, problem_responses, router
from belay_py.virtual import BoardProcess, open_board

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

DRIVER = """
import machine
adc = machine.ADC(26)
def celsius():
    return adc.read_u16() * 3.3 / 65535 / 0.01
"""


class Reading(BaseModel):
    """One temperature."""

    device: str
    celsius: float


async def read(board: DeviceSession) -> Reading:
    """Take one reading."""
    return Reading(device=board.device_id, celsius=round(await board.evaluate("celsius()", returns=float), 1))


async def prepare(manager: DeviceSessionManager) -> None:
    """Have the driver on each board, after each connect, before anybody gets it."""
    for name in manager.devices():
        await manager.create_session(name, connect=False, on_connect=lambda board: board.execute(DRIVER))


Sensor = Annotated[DeviceSession, Depends(leased(path="name", timeout=5))]


def make_app(options: DeviceSessionManagerOptions | None = None) -> FastAPI:
    """Make the service. ``options`` name its boards."""
    app = FastAPI(title="Sensors", lifespan=lifespan(options or boards_of_settings(), prepare=prepare))
    handle_errors(app)
    app.include_router(router)

    @app.get("/sensors/{name}", responses=problem_responses())
    async def one(board: Sensor) -> Reading:
        """Take one reading."""
        return await read(board)

    @app.get("/sensors/{name}/stream", responses=problem_responses())
    async def stream(board: Sensor, count: Annotated[int, Query(ge=1, le=1000)] = 10) -> StreamingResponse:
        """Take readings, one a line; nobody else has the board meanwhile."""

        async def lines() -> AsyncIterator[str]:
            for _ in range(count):
                yield (await read(board)).model_dump_json() + "\n"

        return StreamingResponse(lines(), media_type="application/jsonl")

    return app


def boards_of_settings() -> DeviceSessionManagerOptions:
    """Give the options of belay.toml and the environment, or those of one virtual board."""
    options = load_settings().manager_options()
    if options.devices:
        return options
    return DeviceSessionManagerOptions(devices={"north": DeviceSessionOptions(port="virtual:")})


# -- tests, on a virtual board --------------------------------------------------------------------------------------


class Bench:
    """The service, a client of it, and the board whose pin and plug are in hand."""

    def __init__(self, client: "TestClient", board: BoardProcess) -> None:
        self.client = client
        self.board = board

    def warm(self, degrees: float) -> None:
        """Have the sensor at that temperature."""
        self.board.set_adc(26, round(degrees * 0.01 / 3.3 * 65535))


@contextmanager
def on_a_bench() -> Iterator[Bench]:
    """Start the service with a virtual board for ``north``."""
    from fastapi.testclient import TestClient  # noqa: PLC0415  a service itself has no need of it, nor of httpx2

    board = open_board("virtual:on-the-bench")
    boards = DeviceSessionManagerOptions(devices={"north": DeviceSessionOptions(port=board.port)})
    try:
        with TestClient(make_app(boards)) as client:
            yield Bench(client, board)
    finally:
        board.close()


def test_a_reading_is_what_the_pin_has() -> None:
    with on_a_bench() as bench:
        for degrees in (4.0, 85.0):
            bench.warm(degrees)
            assert bench.client.get("/sensors/north").json() == {"device": "north", "celsius": degrees}


def test_a_stream_has_as_many_readings_as_were_asked_for() -> None:
    with on_a_bench() as bench:
        answer = bench.client.get("/sensors/north/stream?count=3")
    assert [Reading.model_validate_json(line).device for line in answer.iter_lines()] == ["north"] * 3


def test_an_unknown_sensor_and_one_that_is_unplugged() -> None:
    with on_a_bench() as bench:
        assert bench.client.get("/sensors/south").status_code == 404
        bench.board.unplug()
        assert bench.client.get("/sensors/north").status_code == 503


def test_a_session_that_was_closed_comes_back_with_its_driver() -> None:
    with on_a_bench() as bench:
        bench.client.get("/sensors/north")
        assert bench.client.delete("/devices/north").json()["closed"] is True
        assert bench.client.get("/sensors/north").status_code == 200


def main(*, serve: bool = False, port: int = 8000) -> None:
    """Serve, or show what would be served."""
    if serve:
        import uvicorn  # noqa: PLC0415  a server is not needed to look or to test

        uvicorn.run(make_app(), port=port)
        return
    with on_a_bench() as bench:
        for degrees in (4.0, 21.5, 85.0):
            bench.warm(degrees)
            print(f"set {degrees:.1f} C:", bench.client.get("/sensors/north").json())
        bench.board.unplug()
        answer = bench.client.get("/sensors/north")
        print("unplugged:", answer.status_code, answer.json()["title"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--serve", action="store_true", help="until Ctrl-C")
    parser.add_argument("--port", type=int, default=8000, help="of 127.0.0.1; 0: any")
    main(**vars(parser.parse_args()))
