"""Giving a board the host's time.

``machine.RTC.datetime`` takes eight fields: year, month, day, weekday, hour, minute, second, subsecond. The last one
means microseconds on some ports (esp32), milliseconds on others (esp8266), nothing on most, and counts down on stm32.
So it is always 0 here, and sent at the moment at which a second begins. The weekday is 1 for Monday on stm32 and
renesas-ra, whose registers hold it, and 0 on the others, which work it out themselves (their ``machine_rtc.c`` or
``rtc.c``).
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from belay_py.errors import ExecutionError, NotSupported, SessionTimeout, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from belay_py.session.execution import ExecutionResult
    from belay_py.session.standing import Standing

    Execute = Callable[..., Coroutine[Any, Any, ExecutionResult]]

_MONDAY_IS_1 = {"pyboard", "renesas-ra"}
_LATE = 0.02
"""Seconds by which the host may be late to send, and the board to answer; after more, such as another task's operation
in between, the next second is taken."""
_FAR_OFF = 3.0
"""Seconds between what was set and what the board says a round trip later: a clock that did not take it."""

# As one expression, so that nothing is left behind in the board's globals.
_ASK = "__import__('machine').RTC().datetime  # as long as what comes next, so that it takes as long"
_SET = "__import__('machine').RTC().datetime({fields})"
_READ = "print(*__import__('machine').RTC().datetime()[:7])"


async def set_clock(
    execute: Execute, standing: Standing, when: datetime | None, *, utc: bool, timeout: float | None
) -> datetime:
    """Set the clock of the board that ``execute`` runs code on. See `DeviceSession.set_time`."""
    loop = asyncio.get_running_loop()
    deadline = standing.deadline(timeout)
    called = loop.time()
    start = _wall_time(when, utc=utc)

    async def run(code: str) -> ExecutionResult:
        return await execute(code, timeout=max(0, deadline - loop.time()))

    try:
        round_trip = (await run(_ASK)).duration
    except ExecutionError as error:
        if error.type in ("ImportError", "AttributeError", "NotImplementedError"):
            raise NotSupported(
                f"the board's firmware has no machine.RTC with datetime() ({error}): it has no clock to set"
            ) from error
        raise
    while True:
        # What the clock is to show, and when that is to be sent.
        arrival = start + timedelta(seconds=loop.time() - called + round_trip / 2)
        wait = (1e6 - arrival.microsecond) / 1e6
        second = (arrival + timedelta(seconds=wait)).replace(microsecond=0)
        due = loop.time() + wait
        if due >= deadline:
            raise SessionTimeout(
                "a clock is set at the moment at which a second begins, and none did before the deadline; "
                "allow two seconds"
            )
        await asyncio.sleep(wait)
        monday = int(standing.info is not None and standing.info.platform in _MONDAY_IS_1)
        weekday = second.weekday() + monday
        fields = (*second.timetuple()[:3], weekday, *second.timetuple()[3:6], 0)
        result = await run(_SET.format(fields=fields))
        late = loop.time() - result.duration - due
        if late <= _LATE and result.duration <= 2 * round_trip + _LATE:
            break
        round_trip = max(round_trip, result.duration)
    shown = _shown((await run(_READ)).output)
    expected = second + timedelta(seconds=loop.time() - due)
    if shown is None or not -_FAR_OFF < (shown - expected).total_seconds() < _FAR_OFF:
        raise NotSupported(f"the board's clock was set to {second} and shows {shown or 'no time'}: it did not take it")
    return shown


def _wall_time(when: datetime | None, *, utc: bool) -> datetime:
    """What the clock is to show now, as a naive datetime."""
    if when is None:
        return datetime.now(UTC).replace(tzinfo=None) if utc else datetime.now()
    if not isinstance(when, datetime):
        raise SettingsError(f"when is {when!r}; it must be a datetime, or None for now")
    if utc and when.tzinfo is None:
        raise SettingsError("when has no time zone, so that its UTC is unknown; give it one, or leave utc out")
    return (when.astimezone(UTC) if utc else when).replace(tzinfo=None)


def _shown(output: str) -> datetime | None:
    """Read what `_READ` printed; None for what is no date, such as the month 0 of a clock that never ran."""
    try:
        year, month, day, _, hour, minute, second = (int(word) for word in output.split())
        return datetime(year, month, day, hour, minute, second)
    except (ValueError, OverflowError):
        return None
