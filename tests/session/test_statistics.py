"""What a session tells of how it is and what it did, and its policies on real boards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    BelayError,
    BoardWasReset,
    CircuitBreakerOptions,
    CircuitOpen,
    DeviceSession,
    ExecutionError,
    RateLimitOptions,
    RetryOptions,
    SessionClosed,
    SessionStatistics,
    SessionTimeout,
    sync,
)
from belay_py.session.statistics import Counters, outcome_of
from belay_py.transports.traces import read_trace
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_operation_counts_once_whatever_it_sends_besides(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("print('hi')")
        assert await session.evaluate("1 + 1") == 2, "the first one sends the encoder"
        assert await session.evaluate("if True: pass\n3") == 3
        async with aclosing(session.stream("print('there')")) as pieces:
            assert "".join([piece async for piece in pieces]) == "there\n"
        await session.soft_reset()
        with pytest.raises(ExecutionError):
            await session.execute("1/0")
        with pytest.raises(ExecutionError):
            await session.evaluate("nowhere")
        with pytest.raises(SessionTimeout):
            await session.execute("while True: pass", timeout=0.05)
        told = session.statistics
    assert (told.operations, told.errors, told.connects, told.link_errors) == (8, 3, 1, 0)
    assert sum(told.durations) == 8
    assert len(told.durations) == len(SessionStatistics.BOUNDS) + 1
    assert told.duration > 0.05
    assert told.last_error is not None
    assert told.last_error.startswith("SessionTimeout: the operation did not end")


async def test_what_was_refused_before_it_began_is_no_operation(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout):
            await session.execute("pass", timeout=0)
        await session.disconnect()
        with contextlib.suppress(BelayError):
            await session.execute("pass")
        with contextlib.suppress(BelayError):
            await session.soft_reset()
        assert session.statistics.operations == 0
    for never_open_or_closed in (DeviceSession(port), session):
        for refused in (never_open_or_closed.execute("pass"), never_open_or_closed.soft_reset()):
            with pytest.raises(SessionClosed):
                await refused
        assert never_open_or_closed.statistics.operations == 0


async def test_bytes_are_those_on_the_wire(port: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with DeviceSession(port, trace=trace) as session:
        await session.execute("print('x' * 1000)")
        await session.execute("print(input())", stdin=b"abc\r")
        await session.reconnect()
    told = session.statistics
    links = read_trace(trace)
    assert told.connects == len(links) == 2
    assert told.bytes_sent == sum(len(link.sent_by("host")) for link in links)
    assert told.bytes_received == sum(len(link.sent_by("board")) for link in links)


async def test_a_snapshot_stands_still_and_knows_since_when_it_is_connected(port: str) -> None:
    session = DeviceSession(port)
    assert session.statistics == SessionStatistics(
        operations=0, errors=0, failures={}, bytes_sent=0, bytes_received=0, connects=0, link_errors=0, duration=0.0,
        durations=(0,) * 11, last_error=None, round_trip=None, connected_since=None, uptime=0.0,
    )  # fmt: skip
    assert not session.is_healthy
    before = datetime.now(UTC)
    async with session:
        assert session.is_healthy
        told = session.statistics
        await session.execute("pass")
        assert told.operations == 0
        assert told.connected_since is not None
        assert before <= told.connected_since <= datetime.now(UTC)
        assert session.statistics.uptime > told.uptime
        assert told.round_trip is not None
        assert 0 < told.round_trip < told.uptime + 30
        with pytest.raises(dataclasses.FrozenInstanceError):
            told.operations = 5
    assert not session.is_healthy
    assert session.statistics.connected_since is None
    assert session.statistics.uptime == 0
    assert session.statistics.operations == 1


def test_durations_are_sorted_into_buckets() -> None:
    counters = Counters()
    for duration in (0, 0.0003, 0.0004, 10, 11):
        counters.ended(duration)
    told = counters.snapshot(connected=False)
    assert told.durations == (2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1)
    assert told.duration == pytest.approx(21.0007)


async def test_closing_says_once_what_the_session_did(port: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "belay_py"):
        async with DeviceSession(port, device_id="left arm") as session:
            await session.execute("pass")
            with pytest.raises(ExecutionError):
                await session.execute("1/0")
        await session.close()
    lines = [record.getMessage() for record in caplog.records if "was closed" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"left arm on {port} was closed; it lived for ")
    told = session.statistics
    assert lines[0].endswith(
        f"1 connects, 2 operations, 1 errors, {told.bytes_sent} bytes sent, {told.bytes_received} received"
    )


def test_the_blocking_face_tells_the_same(port: str) -> None:
    with sync.DeviceSession(port, retry=RetryOptions()) as session:
        session.execute("pass", idempotent=True)
        assert session.evaluate("2", idempotent=True) == 2
        assert session.is_healthy
        assert session.statistics.operations == 2
    assert not session.is_healthy


# -- policies on real boards ----------------------------------------------------------------------------------------


async def test_what_is_idempotent_runs_again_on_a_board_that_restarts(port: str) -> None:
    # A file on the board tells the second run from the first.
    code = "import os, sys\nif 'ran' not in os.listdir():\n open('ran', 'w').close()\n sys.exit()\nprint('again')"
    async with DeviceSession(port, retry=RetryOptions(delay=0)) as session:
        assert (await session.execute(code, idempotent=True)).output == "again\n"
        assert session.boot_epoch == 2
        await session.execute("import os; os.remove('ran')")
        with pytest.raises(BoardWasReset):
            await session.execute(code)
        assert await session.evaluate("__import__('os').remove('ran')", idempotent=True) is None


async def test_a_board_that_is_unplugged_opens_the_circuit_and_its_return_closes_it() -> None:
    options = CircuitBreakerOptions(failures=2, reset_after=0.3)
    async with VirtualBoard() as board, DeviceSession(board.port, circuit_breaker=options) as session:
        await session.execute("pass")
        await board.unplug()
        for _ in range(2):
            with contextlib.suppress(BelayError):
                await session.execute("pass")
        with pytest.raises(CircuitOpen) as caught:
            await session.execute("pass")
        assert 0 < caught.value.retry_after <= 0.3
        assert not session.is_healthy
        assert session.statistics.link_errors == 1
        await board.replug()
        await session.connect()
        assert not session.is_healthy, "the circuit is open still"
        while True:
            try:
                await session.execute("pass")
            except CircuitOpen as error:
                await asyncio.sleep(error.retry_after)
            else:
                break
        assert session.is_healthy


async def test_a_rate_limit_spreads_operations_on_a_real_board(port: str) -> None:
    loop = asyncio.get_running_loop()
    limit = RateLimitOptions(kind="sliding_window", operations=3, period=0.1)
    async with DeviceSession(port, rate_limit=limit) as session:
        begun = loop.time()
        await asyncio.gather(*(session.execute("pass") for _ in range(10)))
        assert loop.time() - begun >= 0.3
        assert session.statistics.operations == 10


async def test_setting_the_clock_is_one_operation_for_the_rate(port: str) -> None:
    limit = RateLimitOptions(operations=1, period=3600, wait=False)
    async with DeviceSession(port, rate_limit=limit) as session:
        await session.set_time()


async def test_a_closed_session_with_policies_says_that_it_is_closed(port: str) -> None:
    async with DeviceSession(port, retry=RetryOptions(), circuit_breaker=CircuitBreakerOptions(failures=1)) as session:
        pass
    for _ in range(3):
        with pytest.raises(SessionClosed):
            await session.execute("pass", idempotent=True)


async def test_failures_are_counted_by_few_words(port: str) -> None:
    class Own(Exception):
        """One of the user's."""

    async with DeviceSession(port) as session:
        for code in ("1/0", "nothing", "pass"):
            with contextlib.suppress(ExecutionError):
                await session.execute(code)
        with pytest.raises(SessionTimeout):
            await session.execute("while True: pass", timeout=0.1)
        told = session.statistics
    assert dict(told.failures) == {"ExecutionError": 2, "SessionTimeout": 1}
    assert sum(told.failures.values()) == told.errors
    with pytest.raises(TypeError):
        told.failures["x"] = 1  # type: ignore[index]  # that is what is tried
    endings = (None, asyncio.CancelledError(), Own(), CircuitOpen("x"), type("Nearer", (CircuitOpen,), {})("x"))
    assert [outcome_of(error) for error in endings] == ["ok", "CancelledError", "other", "CircuitOpen", "CircuitOpen"]
