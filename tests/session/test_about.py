"""Records of the log that concern a session carry it: its id, its device, the connection it has."""

from __future__ import annotations

import ast
import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import belay_py
from belay_py import DeviceSession, DeviceSessionManager
from belay_py.session.about import About, about
from belay_py.testing import ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(belay_py.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
OF_NO_SESSION = {  # how many lines, and of what
    "manager/exiting.py": 3,
    "manager/shutdown.py": 4,
    "manager/signals.py": 3,
    "manager/watch.py": 1,  # a cleanup's sum
    "journal/journal.py": 4,
    "devices/locks.py": 1,  # of a port, as those of transports
    "devices/udev.py": 2,
    "transports/blocking_port.py": 1,
    "transports/child.py": 1,
    "transports/threaded.py": 2,
    "transports/virtual.py": 1,
    "virtual/mainboard.py": 1,  # in the board's process
    "integrations/fastapi/problems.py": 1,  # of a request
    "pytest_plugin/traces.py": 1,  # of a test
}


def log_calls(module: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"), attr=attr)) if attr in LEVELS:
                yield node


def test_every_line_about_a_session_says_which() -> None:
    without: dict[str, int] = {}
    seen = 0
    for module in sorted(PACKAGE.rglob("*.py")):
        calls = list(log_calls(module))
        seen += len(calls)
        count = sum(all(keyword.arg != "extra" for keyword in call.keywords) for call in calls)
        if count:
            without[module.relative_to(PACKAGE).as_posix()] = count
    assert without == OF_NO_SESSION
    assert seen > sum(without.values()) + 20


async def test_the_last_line_of_a_session(port: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "belay_py")
    async with DeviceSession(port, device_id="pump") as session:
        await session.reconnect()
    [record] = [record for record in caplog.records if "was closed" in record.getMessage()]
    told: Any = record
    assert (told.session, told.device, told.generation) == (session.session_id, "pump", 2)


async def test_lines_of_a_manager(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "belay_py")
    board = ScriptedBoard("about")
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("sensor", board.port, reconnect_delay=0.001)
        connected = asyncio.ensure_future(told_of(manager))
        await asyncio.sleep(0)
        board.lose()
        await connected
    records: list[Any] = [record for record in caplog.records if "to connect again" in record.getMessage()]
    assert [(record.session, record.device, record.generation) for record in records] == [
        (session.session_id, "sensor", 1)
    ]


async def told_of(manager: DeviceSessionManager) -> None:
    """Return when a board was connected once more."""
    again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    manager.on(belay_py.events.SessionConnected)(lambda _: again.set_result(None))
    await again


def test_it_is_a_mapping_of_three_that_a_record_can_take() -> None:
    found = About("cafe", "pump", 3)
    assert dict(found) == {"session": "cafe", "device": "pump", "generation": 3}
    assert len(found) == len(list(found))
    with pytest.raises(KeyError):
        found["port"]
    assert dict(about(None)) == {"session": "", "device": "", "generation": 0}
    record: Any = logging.getLogger("x").makeRecord("x", 30, "f", 1, "m", (), None, extra=found)
    assert (record.session, record.device, record.generation) == ("cafe", "pump", 3)


def test_a_line_that_nobody_wants_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(About, "__getitem__", None)
    logging.getLogger("belay_py.nobody").debug("x", extra=About())
