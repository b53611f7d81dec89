"""The log of whole lives: each record that is about a session says which, and which connection of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from belay_py import BelayError, RetryOptions
from belay_py.events import SessionConnected, SessionEvent
from belay_py.testing import ScriptedBoard

from .watching import manager_with

ON_A_VIRTUAL_CLOCK = True

LIFE = (
    "the link has ended", "attempt 1 to connect again", "connected again", "not connected again",
    "left alone for 500 s", "its quarantine is over", "leased for 60 s", "came back after 170 s",
    "is disconnected now: expired", "is disconnected now: idle", "was closed; it lived", "closing: session held: done",
    "the instrument", "the listener",
)  # fmt: skip
OF_A_MANAGER = ("closing the manager", "closed the manager", "cleanup: ", "closing: what runs", "closing: cleanup ")


class Broken:
    """An instrument that fails at each end."""

    def begin(self, _operation: object, /) -> Broken:
        return self

    def granted(self, _sessions: object, _waited: float, /) -> None:
        """Nothing."""

    def ended(self, _duration: float, _error: BaseException | None, /) -> None:
        raise RuntimeError("an instrument of the user's")


async def test_each_record_of_a_life_says_whose_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "belay_py")
    boards = {name: ScriptedBoard(f"logged-{name}") for name in ("held", "old", "loose", "away")}
    manager, _ = manager_with(leak_after=60, quarantine_after=2, quarantine_time=500, leak_stacks=True)
    manager.instrument(Broken())
    ids: dict[str, set[str]] = {name: set() for name in boards}

    @manager.on(SessionEvent)
    def note(event: SessionEvent) -> None:
        ids[event.session.device_id].add(event.session.session_id)

    @manager.on(SessionConnected)
    def fail(event: SessionConnected) -> None:
        raise RuntimeError("a listener of the user's")

    async with manager:
        for name, board in boards.items():
            options: dict[str, Any] = {"max_lifetime": 100} if name == "old" else {}
            await manager.create_session(name, board.port, retry=RetryOptions(max_attempts=2), **options)
        lease = manager.lease("held")
        await (await lease.acquire()).execute("1")
        boards["loose"].lose()
        boards["away"].lose()
        boards["away"].silent = True
        await asyncio.sleep(20)
        boards["loose"].lose()
        await asyncio.sleep(150)
        lease.release()
        with pytest.raises(BelayError):
            await manager["away"].execute("1", timeout=1)
        await asyncio.sleep(1000)
        manager.add_cleanup("a lamp", lambda: None)
        assert manager.statistics().quarantines == 1
    told = [record for record in caplog.records if record.name.startswith("belay_py")]
    messages = [record.getMessage() for record in told]
    for words in LIFE:
        assert any(words in message for message in messages), words
    closed = []
    for record in told:
        about: Any = record
        if record.getMessage().startswith(OF_A_MANAGER):
            assert not hasattr(record, "session")
            continue
        [session_id] = ids[about.device]
        if record.name == "belay_py.metrics" and not about.session:
            assert about.device == "held"  # a lease, which is of a device before it is of a session
            continue
        assert about.session == session_id, record.getMessage()
        assert about.generation in range(4)
        if "was closed" in record.getMessage():
            closed.append((about.device, about.generation))
    assert closed == [("held", 1), ("old", 1), ("loose", 3), ("away", 1)]
