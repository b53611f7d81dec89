"""Instruments hear of each operation, connect and lease, of its begin and its end; and nothing of theirs gets out."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, DeviceSessionManager, ExecutionError, RetryOptions, SettingsError, task
from belay_py.errors import ConnectionFailed, DeviceBusy, SessionClosed
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.sync import DeviceSessionManager as BlockingManager
from belay_py.testing import ScriptedBoard

from .recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.metrics import Operation


@task
def double(number: int) -> int:
    return number * 2


async def test_each_kind_of_operation_is_told_once_from_begin_to_end(port: str) -> None:
    recorder = Recorder()
    session = DeviceSession(port, device_id="pump")
    session.instrument(recorder)
    async with session:
        await session.execute("x = 1")
        assert await session.evaluate("x + 1") == 2
        assert [piece async for piece in session.stream("print('a')")]
        await session.execute_many(["pass"] * 3)
        assert await session.task(double)(4) == 8
        await session.files.write_bytes("/told", b"content")
        await session.soft_reset()
        await session.reconnect()
        await session.execute("pass")
    assert recorder.kinds == [
        "connect", "execute", "evaluate", "stream", "execute_many", "call", "files", "soft_reset", "reconnect",
        "execute",
    ]  # fmt: skip
    for told in recorder.told:
        assert told.error is None
        [(duration, _)] = told.endings
        assert duration > 0
        assert (told.operation.device_id, told.operation.session_id) == ("pump", session.session_id)
        assert told.operation.port == port
    assert [told.operation.generation for told in recorder.told] == [1] * 8 + [2] * 2


async def test_an_end_tells_what_was_raised(port: str) -> None:
    recorder = Recorder()
    async with DeviceSession(port) as session:
        session.instrument(recorder)
        with pytest.raises(ExecutionError) as raised:
            await session.execute("1/0")
        with pytest.raises(ExecutionError):
            await session.evaluate("nothing")
        with pytest.raises(ExecutionError):
            [_ async for _ in session.stream("1/0")]
    with pytest.raises(SessionClosed):
        await session.execute("pass")
    assert recorder.told[0].error is raised.value
    assert [type(told.error) for told in recorder.told] == [ExecutionError] * 3 + [SessionClosed]


async def test_a_cancelled_operation_and_an_abandoned_stream_have_ends(port: str) -> None:
    recorder = Recorder()
    async with DeviceSession(port) as session:
        session.instrument(recorder)
        running = asyncio.ensure_future(session.execute("while True: pass", timeout=math.inf))
        while not recorder.told:
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with aclosing(session.stream("while True: print(1)", timeout=math.inf)) as pieces:
            async for _ in pieces:
                break
    cancelled, left = recorder.told
    assert isinstance(cancelled.error, asyncio.CancelledError)
    assert left.error is None


async def test_attempts_of_a_retry_are_one_operation(port: str) -> None:
    recorder = Recorder()
    async with DeviceSession(port, retry=RetryOptions(max_attempts=3, delay=0.001)) as session:
        session.instrument(recorder)
        tried = "import sys\nif 'tried' not in globals(): tried = 1; sys.exit()"
        with pytest.raises(Exception, match="attempts were made"):
            await session.execute(tried, idempotent=True)
        assert session.statistics.operations == 3
    assert recorder.kinds == ["execute"]


class Failing:
    """Fails where it is told to."""

    def __init__(self, *where: str) -> None:
        self.where = where
        self.asked: list[str] = []

    def begin(self, operation: Operation, /) -> Failing:
        self._ask("begin")
        return self

    def granted(self, sessions: Mapping[str, str], waited: float, /) -> None:
        self._ask("granted")

    def ended(self, duration: float, error: BaseException | None, /) -> None:
        self._ask("ended")

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.where:
            raise RuntimeError(what)


@pytest.mark.parametrize("where", ["begin", "granted", "ended"])
async def test_what_an_instrument_raises_reaches_nobody(where: str, caplog: pytest.LogCaptureFixture) -> None:
    board = ScriptedBoard(f"raises-{where}")
    failing, recorder = Failing(where), Recorder()
    async with DeviceSessionManager() as manager:
        manager.instrument(failing)
        manager.instrument(recorder)
        await manager.create_session("a", board.port)
        async with manager.lease("a") as session:
            await session.execute("1")
    assert where in failing.asked
    assert [told.error for told in recorder.told] == [None] * 3
    assert any("goes on" in record.getMessage() for record in caplog.records)
    assert manager.statistics().leases_held == 0


async def test_one_that_is_taken_out_hears_no_more(port: str) -> None:
    recorder, twice = Recorder(), Recorder()
    async with DeviceSession(port) as session:
        take_out = session.instrument(recorder)
        session.instrument(twice)
        first = session.instrument(twice)
        await session.execute("pass")
        take_out()
        take_out()
        first()
        await session.execute("pass")
    assert (recorder.kinds, twice.kinds) == (["execute"], ["execute"] * 3)


async def test_an_instrument_may_want_nothing_of_an_operation(port: str) -> None:
    class Deaf:
        def begin(self, operation: Operation, /) -> None:
            """Want nothing."""

    async with DeviceSession(port) as session:
        session.instrument(Deaf())
        assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("thing", [None, print, object()])
async def test_what_is_none_is_refused(thing: Any) -> None:
    with pytest.raises(SettingsError, match="begin"):
        DeviceSession("virtual:").instrument(thing)
    with pytest.raises(SettingsError, match="begin"):
        DeviceSessionManager().instrument(thing)


# ---- Managers ----


async def test_a_manager_tells_of_leases_and_of_sessions_old_and_new() -> None:
    boards = {name: ScriptedBoard(f"tells-{name}") for name in ("old", "new")}
    recorder = Recorder()
    async with DeviceSessionManager() as manager:
        old = await manager.create_session("old", boards["old"].port)
        take_out = manager.instrument(recorder)
        new = await manager.create_session("new", boards["new"].port)
        async with manager.lease("old", "new") as (first, second):
            [lease] = recorder.of("lease")
            assert not lease.endings
            await first.execute("1")
            await second.execute("1")
        await manager["old"].execute("1")
        take_out()
        async with manager.lease("old") as first:
            await first.execute("1")
    assert recorder.kinds == ["connect", "lease", "execute", "execute", "execute"]
    assert lease.sessions == {"old": old.session_id, "new": new.session_id}
    assert lease.waited >= 0
    assert (lease.operation.device_id, lease.error) == ("old, new", None)


async def test_a_lease_that_comes_to_nothing_is_told() -> None:
    board = ScriptedBoard("nothing")
    recorder = Recorder()
    async with DeviceSessionManager() as manager:
        manager.instrument(recorder)
        await manager.create_session("a", board.port)
        async with manager.lease("a"):
            with pytest.raises(DeviceBusy):
                await asyncio.create_task(manager.lease("a", timeout=0).acquire())
    held, refused = recorder.of("lease")
    assert isinstance(refused.error, DeviceBusy)
    assert (refused.sessions, held.error) == ({}, None)


async def test_a_lease_whose_board_cannot_be_connected_is_told_once() -> None:
    recorder = Recorder()
    board = ScriptedBoard("mute")
    board.silent = True
    async with DeviceSessionManager() as manager:
        manager.instrument(recorder)
        await manager.create_session("a", board.port, connect=False, connection_timeout=0.1)
        with pytest.raises(ConnectionFailed):
            await manager.lease("a").acquire()
    [lease] = recorder.of("lease")
    assert isinstance(lease.error, ConnectionFailed)
    assert recorder.kinds[:2] == ["lease", "connect"]


# ---- The blocking face ----


def test_the_blocking_face_tells_the_same(port: str) -> None:
    recorder = Recorder()
    with BlockingSession(port) as session:
        take_out = session.instrument(recorder)
        session.execute("pass")
        take_out()
        session.execute("pass")
    with BlockingManager() as manager:
        manager.instrument(recorder)
        manager.create_session("a", port)
        with manager.lease("a") as leased:
            leased.execute("pass")
    assert recorder.kinds == ["execute", "connect", "lease", "execute"]
