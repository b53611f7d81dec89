"""A little of the load in docs/services.md."""

from __future__ import annotations

import asyncio
import json

import httpx2

from tests.jobs.service import Size, load
from tests.jobs.service_clients import Seen
from tests.manager.fleet import there_is


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
