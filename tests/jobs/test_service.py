"""A little of the load in docs/services.md."""

from __future__ import annotations

import asyncio
import json

import httpx2

from belay_py import DeviceSessionManager, DeviceSessionOptions
from tests.jobs.service import Rate, Report, Size, load, look_at_what_is_left
from tests.jobs.service_clients import Seen
from tests.manager.fleet import there_is

NONE = Rate(0, 0, 0)


def test_clients_that_vanish_and_boards_that_are_unplugged_leave_nothing_wrong_and_nothing_behind() -> None:
    before = there_is()
    with asyncio.Runner() as runner:
        report = runner.run(load(Size(boards=4, clients=40, seconds=3.0, measured=0.3)))
    assert report.wrong == []
    assert report.left == []
    assert there_is() - before == set()
    assert report.seen["right"]
    assert report.seen["vanished"]
    assert report.unplugged
    assert report.leases


async def test_what_is_left_is_seen() -> None:
    report = Report(NONE, NONE, NONE, NONE, {})
    devices = {name: DeviceSessionOptions(port="virtual:") for name in ("held", "free")}
    async with DeviceSessionManager(devices=devices) as manager:
        await manager.warm_up("held", "free")
        await look_at_what_is_left(manager, report, patience=0)
        assert (report.left, report.wrong) == ([], [])
        async with manager.lease("held"):
            watching = asyncio.create_task(asyncio.sleep(600), name="belay_py: is the client there?")
            await look_at_what_is_left(manager, report, patience=0)
            watching.cancel()
    leases, count, task = report.left
    assert (leases, task) == ("1 leases, 0 in the queue", "belay_py: is the client there?")
    assert count == f"{report.leases} leases were granted, {report.leases - 1} came back"
    [wrong] = report.wrong
    assert wrong.startswith("held: held did not become free")


def test_the_clients_see_what_is_wrong() -> None:
    seen = Seen()

    def judge(status: int, content: object, kind: str = "application/json") -> bool:
        before = len(seen.wrong)
        answer = httpx2.Response(status, content=json.dumps(content), headers={"Content-Type": kind})
        seen.judge(answer, "board-1", 3, 0.1)
        return len(seen.wrong) == before

    def problem(status: int, name: str, *, said: int | None = None) -> bool:
        content = {"type": f"urn:belay-py:{name}", "title": "", "status": said or status, "detail": "", "instance": "/"}
        return judge(status, content, "application/problem+json")

    assert judge(200, {"device": "board-1", "value": 9})
    assert not judge(200, {"device": "board-1", "value": 10})
    assert not judge(200, {"device": "board-2", "value": 9})
    assert not judge(500, "Internal Server Error", "text/plain")
    assert problem(503, "DeviceBusy")
    assert not problem(502, "DeviceBusy")
    assert not problem(503, "DeviceBusy", said=502)
    assert not problem(500, "ExecutionError")
    assert seen.right == 1
