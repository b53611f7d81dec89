"""The board's clock is the host's, to half a round trip."""

from __future__ import annotations

import dataclasses
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

import belay_py.sync
from belay_py import DeviceSession, NotSupported, SessionTimeout, SettingsError
from belay_py.session.clock import set_clock
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from belay_py.session.execution import ExecutionResult

SHOWN = "[__import__('time').time(), __import__('time').localtime()[:6]]"

AT_STAKE = 0.5
"""Seconds: a clock that is set without regard to the second's beginning is wrong by up to twice as much."""


@pytest.fixture
async def session() -> AsyncIterator[DeviceSession]:
    async with VirtualBoard() as board, DeviceSession(board.port) as session:
        yield session


async def offset(session: DeviceSession) -> tuple[float, float]:
    """How far the board's clock is ahead of the host's UTC, in seconds, and how far that may be wrong."""
    before = time.time()
    shown, _ = await session.evaluate(SHOWN)
    after = time.time()
    return shown - (before + after) / 2, (after - before) / 2


@pytest.mark.parametrize("utc", [False, True])
async def test_the_hosts_time(session: DeviceSession, monkeypatch: pytest.MonkeyPatch, utc: bool) -> None:
    monkeypatch.setenv("TZ", "XYZ-3:30")  # three and a half hours east of Greenwich
    time.tzset()
    try:
        await session.execute("__import__('machine').RTC().datetime((2001, 1, 1, 0, 0, 0, 0, 0))")
        shown = await session.set_time(utc=utc)
        now = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=0 if utc else 3.5)
        assert abs(now - shown) < timedelta(seconds=5)
        ahead, doubt = await offset(session)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert abs(ahead - (0 if utc else 3.5 * 3600)) < AT_STAKE + doubt


async def test_another_time(session: DeviceSession) -> None:
    shown = await session.set_time(datetime(2030, 12, 31, 23, 59, 58, 900000))
    assert datetime(2030, 12, 31, 23, 59, 59) <= shown < datetime(2031, 1, 1, 0, 1)
    tokyo = datetime(2030, 6, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    assert (await session.set_time(tokyo)).hour == 12
    assert (await session.set_time(tokyo, utc=True)).hour == 3
    assert (await session.evaluate(SHOWN))[1][:4] == (2030, 6, 1, 3)


async def test_what_is_no_time(session: DeviceSession) -> None:
    with pytest.raises(SettingsError, match="time zone"):
        await session.set_time(datetime(2030, 1, 1), utc=True)
    with pytest.raises(SettingsError, match="must be a datetime"):
        await session.set_time("noon")  # type: ignore[arg-type]  # that is what is refused


async def test_a_deadline_before_the_next_second(session: DeviceSession) -> None:
    with pytest.raises(SessionTimeout, match="allow two seconds"):
        await session.set_time(datetime(2030, 1, 1), timeout=0.5)
    assert (await session.execute("print(1)")).output == "1\n"


@pytest.mark.parametrize("code", ["__import__('time').sleep_ms(700)", ""])
async def test_what_comes_in_between_does_not_spoil_it(session: DeviceSession, code: str) -> None:
    codes = []

    async def execute(asked: str, *, timeout: float) -> ExecutionResult:
        codes.append(asked)
        if len(codes) == 2:  # the clock is about to be set, and another task has its turn first; or the board is slow
            await session.execute(code)
            asked += "" if code else "\n__import__('time').sleep_ms(700)"
        return await session.execute(asked, timeout=timeout)

    await set_clock(execute, session._standing, None, utc=True, timeout=60)
    ahead, doubt = await offset(session)
    assert abs(ahead) < AT_STAKE + doubt
    assert len(codes) > 3, "it was set again"


async def test_a_board_without_a_clock(session: DeviceSession) -> None:
    await session.execute("import machine\ndel machine.RTC")
    with pytest.raises(NotSupported, match="no machine.RTC"):
        await session.set_time()
    await session.execute("import sys\nsys.modules['machine'] = None")
    with pytest.raises(NotSupported, match="no machine.RTC"):
        await session.set_time()


async def test_a_clock_that_does_not_take_it(session: DeviceSession) -> None:
    await session.execute(
        "import machine\nclass RTC:\n def datetime(self, t=None): return (2000, 1, 1, 5, 0, 0, 0, 0)\nmachine.RTC = RTC"
    )
    with pytest.raises(NotSupported, match="shows 2000-01-01 00:00:00: it did not take it"):
        await session.set_time()
    await session.execute("RTC.datetime = lambda self, t=None: (0,) * 8")
    with pytest.raises(NotSupported, match="shows no time"):
        await session.set_time()


async def test_an_error_of_the_clock_itself_is_the_boards(session: DeviceSession) -> None:
    await session.execute("import machine\nclass RTC:\n def __init__(self): raise OSError(5)\nmachine.RTC = RTC")
    with pytest.raises(belay_py.ExecutionError, match="OSError"):
        await session.set_time()


@pytest.mark.parametrize(("platform", "monday"), [("pyboard", 1), ("renesas-ra", 1), ("rp2", 0), (None, 0)])
async def test_the_weekday_is_as_the_port_counts_it(session: DeviceSession, platform: str | None, monday: int) -> None:
    codes = []

    async def execute(code: str, *, timeout: float) -> ExecutionResult:
        codes.append(code)
        return await session.execute(code, timeout=timeout)

    session._standing.info = dataclasses.replace(session.info, platform=platform)
    when = datetime(2026, 1, 5, 12, 0, 0, 900000)  # a Monday
    await set_clock(execute, session._standing, when, utc=False, timeout=60)
    match = re.search(r"datetime\(\((.*)\)\)", codes[1])
    assert match is not None
    assert match[1].startswith(f"2026, 1, 5, {monday}, 12, 0, ")
    assert match[1].endswith(", 0")


def test_the_blocking_face() -> None:
    with belay_py.sync.DeviceSession("virtual:") as session:
        assert session.set_time(datetime(2030, 1, 1)).year == 2030
