"""Executions on a connected board, one at a time, and what becomes of those that do not end.

An execution ends in one of five ways: done, failed on the device, stopped at its deadline, cancelled, or with the link.
After the third and the fourth the board is stopped and brought back to a verified prompt by a recovery.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

from belay_py.errors import (
    BoardWasReset,
    Disconnected,
    Interrupted,
    OutcomeUnknown,
    ProtocolViolation,
    SessionTimeout,
)
from belay_py.protocol import BoardReset, Finished
from belay_py.session.channel import FIRST_INTERRUPT_INTERVAL, LONGEST_INTERRUPT_INTERVAL
from belay_py.session.execution import ExecutionResult
from belay_py.session.memory import ALWAYS_FITS, require_room, too_large
from belay_py.session.outcomes import WAS_RUNNING, Dropped, Expired, LinkLost, Restarted
from belay_py.session.tracebacks import execution_error, is_keyboard_interrupt, is_unprepared
from belay_py.text import to_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session.channel import Channel
    from belay_py.session.recovery import Recovery
    from belay_py.session.standing import Standing
    from belay_py.session.stdin import Stdin


class Operations:
    """What one session does with its channel."""

    def __init__(self, standing: Standing, recovery: Recovery) -> None:
        self.standing = standing
        self.recovery = recovery

    async def run(self, source: bytes, timeout: float | None, stdin: Stdin | None = None) -> ExecutionResult:
        """Run code and return what it wrote. See `DeviceSession.execute` for the errors."""
        standing = self.standing
        deadline = standing.deadline(timeout)
        channel = await standing.begin(deadline)
        started = time.perf_counter()
        try:  # what `run_counted` does, written out: a coroutine less on the way of every execution
            result = await self.run_begun(channel, source, deadline, None, stdin)
        except BaseException as error:  # it goes on
            standing.counters.failed(time.perf_counter() - started, error)
            raise
        standing.counters.ended(result.duration)
        return result

    async def execute(self, code: str, *, timeout: float) -> ExecutionResult:
        """`run` for code of our own."""
        return await self.run(code.encode(), timeout)

    async def run_counted(
        self,
        channel: Channel,
        source: bytes,
        deadline: float,
        sink: Callable[[bytes], None] | None = None,
        stdin: Stdin | None = None,
    ) -> ExecutionResult:
        """Run code after `Standing.begin`, as an operation that the session's statistics count."""
        started = time.perf_counter()
        try:
            result = await self.run_begun(channel, source, deadline, sink, stdin)
        except BaseException as error:  # it goes on
            self.standing.counters.failed(time.perf_counter() - started, error)
            raise
        self.standing.counters.ended(result.duration)
        return result

    async def run_begun(
        self,
        channel: Channel,
        source: bytes,
        deadline: float,
        sink: Callable[[bytes], None] | None = None,
        stdin: Stdin | None = None,
    ) -> ExecutionResult:
        """Run code after `Standing.begin`. The turn is released here, or by the recovery."""
        if channel.repl.doubted:
            channel = await self._proved(channel, deadline)
        started = time.perf_counter()
        begun = False
        try:
            integrity = channel.integrity
            inbox = self.standing.inbox
            if inbox is not None and source and inbox.lacks(channel):  # no code is a sign of life, which must be quick
                await inbox.prepare(channel, deadline)
                started = time.perf_counter()
            if len(source) > ALWAYS_FITS and integrity is None:
                await require_room(channel, source, deadline)
            begun = True  # what went before was no code of the caller's
            if stdin is not None:
                stdin.feed(channel)
            if integrity is None:
                event = await channel.execute(source, deadline, sink)
            else:
                event = await integrity.execute(source, deadline, sink, once=stdin is not None)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            if stdin is not None:
                stdin.stop()
            await self.end_badly(channel, error, may_have_run=begun and channel.may_have_started)
        unread = stdin is not None and stdin.stop()
        if isinstance(event, BoardReset):
            await self.recovery.bring_back(channel, restarted=True, boot_output=to_text(event.boot_output))
            raise BoardWasReset(
                "the board restarted while the code ran (SystemExit, a reset): its variables are gone",
                output_bytes=event.output,
            )
        duration = time.perf_counter() - started
        if channel.marked and is_unprepared(event.traceback):
            await self._look_for_a_restart(channel, event)
        elif unread:
            # What the code has not read stands in the board's input now, in front of the next code.
            await self.recovery.bring_back(channel)
        else:
            self.standing.end()
        # What a stream has passed on is not in the event.
        return _result(channel, source, event, duration, silent=sink is None and not event.output)

    async def _proved(self, channel: Channel, deadline: float) -> Channel:
        """Prove the prompt anew before any code is sent: what came since the last execution looked like an answer."""
        epoch = self.standing.boot_epoch
        if not await self.recovery.bring_back(channel):
            raise Disconnected(f"the board said what nobody had asked for, and then {self.standing.trouble}")
        if self.standing.boot_epoch != epoch:
            raise BoardWasReset(
                "the board had restarted before the code was sent, which did not run: its variables are gone",
                outcome="not_started",
            )
        return await self.standing.begin(deadline)

    async def _look_for_a_restart(self, channel: Channel, event: Finished) -> None:
        """The line that marks the end may have failed: then the interpreter is not the one that was prepared for it."""
        epoch = self.standing.boot_epoch
        if not await self.recovery.bring_back(channel):
            raise OutcomeUnknown(
                "the code ended in a NameError, its own or because the board had restarted; then "
                f"{self.standing.trouble}"
            )
        if self.standing.boot_epoch != epoch:
            raise BoardWasReset(
                "the board had restarted before the code ran, which nobody saw: its variables were gone, and the code "
                "ran without them",
                output_bytes=event.output,
            )

    async def interrupt(self, timeout: float | None) -> bool:
        """Repeat Ctrl-C until the code that another task runs has ended; return whether there was any."""
        deadline = self.standing.deadline(timeout)
        if self.recovery.running:
            if not await self.recovery.settled(deadline):  # the code is being stopped already
                raise SessionTimeout("the board is being stopped, and has not come to its prompt yet", recovered=False)
            return True
        channel = self.standing.channel
        exchange = None if channel is None else channel.exchange
        if channel is None or exchange is None:
            return False
        loop = asyncio.get_running_loop()
        interval = FIRST_INTERRUPT_INTERVAL
        # Only as long as it is the same execution: the next one is somebody else's.
        while channel.exchange is exchange:
            channel.interrupt()
            await asyncio.wait([exchange], timeout=min(interval, max(0, deadline - loop.time())))
            interval = min(interval * 2, LONGEST_INTERRUPT_INTERVAL)
            if loop.time() >= deadline and channel.exchange is exchange:
                raise SessionTimeout(
                    "the code on the board has not stopped yet: it catches Ctrl-C and goes on, or needs more time; "
                    "interrupt() again, or reset the board",
                    recovered=False,
                )
        return True

    async def end_badly(self, channel: Channel, error: BaseException, *, may_have_run: bool) -> NoReturn:
        """End an operation that did not come to its end, and raise what the caller is to see."""
        standing = self.standing
        if isinstance(error, LinkLost):
            standing.turn.release()
            reason = error.__cause__ or standing.trouble
            if may_have_run:
                raise OutcomeUnknown(f"{reason}{WAS_RUNNING}") from error.__cause__
            raise Disconnected(f"{reason}. The code had not started") from error.__cause__
        if not isinstance(error, Exception):
            self.recovery.start(channel)  # cancelled: the caller does not wait for it
            raise error
        epoch = standing.boot_epoch
        sent = channel.integrity and channel.integrity.latest
        if isinstance(error, Expired):
            recovered = await self.recovery.bring_back_in_time(channel)
        else:
            recovered = await self.recovery.bring_back(channel, restarted=isinstance(error, Restarted))
        may_have_run = may_have_run and not (sent and sent.not_started)
        if isinstance(error, ProtocolViolation) and not may_have_run:
            error.outcome = "not_started"
        did_not_run = isinstance(error, ProtocolViolation) and error.outcome == "not_started"
        did_not_run |= isinstance(error, Restarted) and error.not_started
        did_not_run |= not may_have_run
        # A recovery that failed has not counted the epoch, and the board has restarted all the same.
        if standing.boot_epoch != epoch or isinstance(error, Restarted):
            if did_not_run:
                raise BoardWasReset(
                    "the board restarted before the code arrived, which did not run: its variables are gone",
                    outcome="not_started",
                ) from error
            if isinstance(error, Expired):
                raise BoardWasReset(
                    "the code did not end before its deadline, and the board restarted: its variables are gone"
                ) from None
            raise BoardWasReset("the board restarted while the code ran: its variables are gone") from None
        if isinstance(error, Dropped):
            raise Interrupted(
                "the code was stopped by interrupt() before the board had it all; none of it ran"
            ) from None
        if isinstance(error, Expired):
            happened = "the operation did not end" if may_have_run else "the code had not reached the board"
            then = (
                "the code was stopped and the board is ready again"
                if recovered
                else f"and since then {standing.trouble}"
            )
            raise SessionTimeout(
                f"{happened} before its deadline; {then}",
                recovered=recovered,
                outcome="unknown" if may_have_run else "not_started",
            ) from None
        raise error


def _result(channel: Channel, source: bytes, event: Finished, duration: float, *, silent: bool) -> ExecutionResult:
    if event.traceback:
        if channel.interrupted and is_keyboard_interrupt(event.traceback):
            raise Interrupted("the code was stopped by interrupt()")
        raise too_large(channel, source, event, silent=silent) or execution_error(event.traceback, event.output)
    return ExecutionResult(event.output, duration)
