"""Operations on a connected board, one at a time, and what becomes of those that do not end.

An operation ends in one of five ways: done, failed on the device, stopped at its deadline, cancelled, or with the link.
After the third and the fourth the board is stopped and brought back to a verified prompt by a recovery, which holds the
turn: nobody gets the board before that is over.
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
    SessionClosed,
    SessionTimeout,
    SettingsError,
)
from belay_py.lifecycle import DeviceSessionState, Lifecycle
from belay_py.protocol import BoardReset, Finished
from belay_py.session.channel import (
    FIRST_INTERRUPT_INTERVAL,
    LONGEST_INTERRUPT_INTERVAL,
    NO_MEMORY,
    Channel,
    Dropped,
    Expired,
    LinkLost,
)
from belay_py.session.execution import ExecutionResult, execution_error, is_keyboard_interrupt, to_text
from belay_py.session.memory import require_room, too_large
from belay_py.session.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.options import DeviceSessionOptions

_State = DeviceSessionState
_FOR_EVER = 1e9  # seconds: what is asked for as inf, or as a number that a clock cannot hold


class Operations:
    """What one session does with its channel. The session sets `channel` and `trouble` when it connects."""

    def __init__(self, options: DeviceSessionOptions, lifecycle: Lifecycle) -> None:
        self.turn = Turn()
        self.channel: Channel | None = None
        self.trouble = ""
        """Why there is no usable channel, for messages."""
        self.boot_epoch = 0
        self.last_used = time.time()
        self._options = options
        self._lifecycle = lifecycle
        self._recovery: asyncio.Task[bool] | None = None

    def deadline(self, timeout: float | None) -> float:
        """Turn a caller's timeout, seconds or None for the default, into a reading of the loop's clock."""
        if timeout is None:
            timeout = self._options.operation_timeout
        if not isinstance(timeout, int | float) or not timeout >= 0:
            raise SettingsError(f"timeout is {timeout!r}; it must be a number of seconds, 0 or more")
        return asyncio.get_running_loop().time() + min(timeout, _FOR_EVER)

    # -- the operations -----------------------------------------------------------------------------------------

    async def run(self, source: bytes, timeout: float | None) -> ExecutionResult:
        """Run code and return what it wrote. See `DeviceSession.execute` for the errors."""
        deadline = self.deadline(timeout)
        return await self.run_begun(await self.begin(deadline), source, deadline)

    async def run_begun(
        self, channel: Channel, source: bytes, deadline: float, sink: Callable[[bytes], None] | None = None
    ) -> ExecutionResult:
        """Run code after `begin`. The turn is released here, or by the recovery."""
        started = time.perf_counter()
        try:
            await require_room(channel, source, deadline)
            event = await channel.execute(source, deadline, sink)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            await self._end_badly(channel, error, may_have_run=channel.repl.may_have_started)
        if isinstance(event, BoardReset):
            await self._bring_back(channel, restarted=True)
            raise BoardWasReset(
                "the board restarted while the code ran (SystemExit, a reset): its variables are gone",
                output_bytes=event.output,
            )
        self._end()
        return self._result(channel, source, event, time.perf_counter() - started)

    async def soft_reset(self, timeout: float | None) -> str:
        """Restart the interpreter and return what the boot printed."""
        deadline = self.deadline(timeout)
        channel = await self.begin(deadline)
        try:
            event = await channel.soft_reset(deadline)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            await self._end_badly(channel, error, may_have_run=True)
        if not await self._bring_back(channel, restarted=True):
            raise SessionTimeout(f"the board restarted, but then {self.trouble}", recovered=False)
        return to_text(event.boot_output.removeprefix(b"OK\r\n"))

    async def interrupt(self, timeout: float | None) -> bool:
        """Repeat Ctrl-C until the code that another task runs has ended; return whether there was any."""
        deadline = self.deadline(timeout)
        if self._recovery is not None and not self._recovery.done():
            await self.settled()  # the code is being stopped already
            return True
        channel = self.channel
        exchange = None if channel is None else channel.exchange
        if channel is None or exchange is None:
            return False
        loop = asyncio.get_running_loop()
        interval = FIRST_INTERRUPT_INTERVAL
        # Only as long as it is the same execution: the next one is somebody else's.
        while channel.exchange is exchange:
            if loop.time() >= deadline:
                raise SessionTimeout(
                    "the code on the board catches Ctrl-C and goes on; reset the board", recovered=False
                )
            channel.interrupt()
            await asyncio.wait([exchange], timeout=min(interval, max(0, deadline - loop.time())))
            interval = min(interval * 2, LONGEST_INTERRUPT_INTERVAL)
        return True

    async def settled(self) -> None:
        """Wait until a recovery that was started in the background is over. Bounded by ``recovery_timeout``."""
        if self._recovery is not None:
            await asyncio.wait([self._recovery])

    # -- one operation ------------------------------------------------------------------------------------------

    async def begin(self, deadline: float) -> Channel:
        """Take the turn and start an operation. Raises, without the turn, when the board is not there."""
        if not self.turn.take():
            await self.turn.wait(deadline)
        channel = self.channel
        if channel is None or not channel.in_step or not channel.is_of_this_loop or not self._lifecycle.allows("begin"):
            self.turn.release()
            raise self._unusable()
        self._lifecycle.flip("begin")
        self.last_used = time.time()
        return channel

    def _end(self) -> None:
        """End an operation: the board is at a verified prompt."""
        if self._lifecycle.state is _State.ACTIVE:
            self._lifecycle.flip("finish")
        self.last_used = time.time()
        self.turn.release()

    async def _end_badly(self, channel: Channel, error: BaseException, *, may_have_run: bool) -> NoReturn:
        """End an operation that did not come to its end, and raise what the caller is to see."""
        if isinstance(error, LinkLost):
            self.turn.release()
            reason = error.__cause__ or self.trouble
            if may_have_run:
                raise OutcomeUnknown(
                    f"{reason}. Code was running; nobody can tell how far it came"
                ) from error.__cause__
            raise Disconnected(f"{reason}. The code had not started") from error.__cause__
        if not isinstance(error, Exception):
            self._start_recovery(channel)  # cancelled: the caller does not wait for it
            raise error
        epoch = self.boot_epoch
        recovered = await self._bring_back(channel)
        did_not_run = isinstance(error, ProtocolViolation) and error.outcome == "not_started"
        if self.boot_epoch != epoch:
            if did_not_run:
                raise BoardWasReset(
                    "the board restarted before the code arrived, which did not run: its variables are gone",
                    outcome="not_started",
                ) from error
            raise BoardWasReset("the board restarted while the code ran: its variables are gone") from None
        if isinstance(error, Dropped):
            raise Interrupted(
                "the code was stopped by interrupt() before the board had it all; none of it ran"
            ) from None
        if isinstance(error, Expired):
            outcome = (
                "the code was stopped and the board is ready again" if recovered else f"and since then {self.trouble}"
            )
            raise SessionTimeout(
                f"the operation did not end before its deadline; {outcome}", recovered=recovered
            ) from None
        raise error

    def _result(self, channel: Channel, source: bytes, event: Finished, duration: float) -> ExecutionResult:
        if event.traceback:
            if channel.interrupted and is_keyboard_interrupt(event.traceback):
                raise Interrupted("the code was stopped by interrupt()")
            raise too_large(channel, source, event) or execution_error(event.traceback, event.output)
        return ExecutionResult(event.output, duration)

    def _unusable(self) -> SessionClosed | Disconnected:
        state = self._lifecycle.state
        if state is _State.CREATED:
            return SessionClosed("the session is not connected; use it in `with` or `async with`, or connect() it")
        if state is _State.DISPOSED:
            return SessionClosed("the session was closed for good; make a new one")
        if state is _State.DISCONNECTED:
            return Disconnected(f"the session is not connected ({self.trouble}); connect() tries anew")
        if state is _State.ERROR:
            return SessionClosed(f"the session is in ERROR ({self.trouble}); connect() tries anew")
        if self.channel is not None and not self.channel.is_of_this_loop:
            return SessionClosed(
                "the session was connected in another event loop; close() it and make one in each loop, or use "
                "belay_py.sync"
            )
        return SessionClosed(f"the session is {state.name}; wait for that, or connect() again")

    # -- recovery -----------------------------------------------------------------------------------------------

    def _start_recovery(self, channel: Channel, *, restarted: bool = False) -> asyncio.Task[bool]:
        self._recovery = asyncio.get_running_loop().create_task(self._recover(channel, restarted=restarted))
        return self._recovery

    async def _bring_back(self, channel: Channel, *, restarted: bool = False) -> bool:
        """Recover and wait for it; a caller that is cancelled meanwhile leaves the recovery running."""
        return await asyncio.shield(self._start_recovery(channel, restarted=restarted))

    async def _recover(self, channel: Channel, *, restarted: bool) -> bool:
        """Bring the board back to a verified prompt, or the session into ERROR; then pass the turn on."""
        limit = self._options.recovery_timeout
        try:
            restarted |= await channel.recover(self.deadline(limit))
        except (LinkLost, ProtocolViolation):
            return self._give_up(channel, "the board answered nonsense while it was brought back to its prompt")
        except Expired:
            if b"MemoryError" in channel.repl.unanswered:
                return self._give_up(channel, f"the board {NO_MEMORY}")
            return self._give_up(
                channel,
                f"the board did not return to its prompt within {limit:g} s: "
                "its program catches Ctrl-C, or it hangs and needs a reset",
            )
        except asyncio.CancelledError:
            self._give_up(channel, "the event loop was shut down while the board was brought back to its prompt")
            raise
        else:
            self.boot_epoch += restarted
            channel.code_room *= not restarted
            if self._lifecycle.state is _State.ACTIVE:
                self._lifecycle.flip("finish")
            return True
        finally:
            self.turn.release()

    def _give_up(self, channel: Channel, trouble: str) -> bool:
        if self._lifecycle.allows("fail"):
            self.trouble = trouble
            self._lifecycle.fire("fail")
        channel.close()
        return False
