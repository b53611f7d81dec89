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
from belay_py.session.channel import FIRST_INTERRUPT_INTERVAL, LONGEST_INTERRUPT_INTERVAL, Channel, Expired, LinkLost
from belay_py.session.execution import ExecutionResult, execution_error, is_keyboard_interrupt, to_text
from belay_py.session.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.options import DeviceSessionOptions

_State = DeviceSessionState


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
        self._interrupting = False

    def deadline(self, timeout: float | None) -> float:
        """Turn a caller's timeout, seconds or None for the default, into a reading of the loop's clock."""
        if timeout is None:
            timeout = self._options.operation_timeout
        if not timeout >= 0:
            raise SettingsError(f"timeout is {timeout}; it must be a number of seconds, 0 or more")
        return asyncio.get_running_loop().time() + timeout

    # -- the operations -----------------------------------------------------------------------------------------

    async def run(self, source: bytes, timeout: float | None) -> ExecutionResult:
        """Take the turn, run code, return what it wrote. See `DeviceSession.execute` for the errors."""
        deadline = self.deadline(timeout)
        if not self.turn.take():
            await self.turn.wait(deadline)
        return await self.run_begun(self.begin(), source, deadline)

    async def run_begun(
        self, channel: Channel, source: bytes, deadline: float, sink: Callable[[bytes], None] | None = None
    ) -> ExecutionResult:
        """Run code after `begin`. The turn is released here, or by the recovery."""
        started = time.perf_counter()
        try:
            event = await channel.execute(source, deadline, sink)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            await self._end_badly(channel, error)
        if isinstance(event, BoardReset):
            await self._bring_back(channel, restarted=True)
            raise BoardWasReset(
                "the board restarted while the code ran (SystemExit, a reset): its variables are gone",
                output_bytes=event.output,
            )
        self._end()
        return self._result(event, time.perf_counter() - started)

    async def soft_reset(self, timeout: float | None) -> str:
        """Restart the interpreter and return what the boot printed."""
        deadline = self.deadline(timeout)
        if not self.turn.take():
            await self.turn.wait(deadline)
        channel = self.begin()
        try:
            event = await channel.soft_reset(deadline)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            await self._end_badly(channel, error)
        await self._bring_back(channel, restarted=True)
        return to_text(event.boot_output.removeprefix(b"OK\r\n"))

    async def interrupt(self, timeout: float | None) -> bool:
        """Repeat Ctrl-C until the code that another task runs has ended; return whether there was any."""
        channel = self.channel
        if channel is None or not channel.exchanging:
            return False
        deadline = self.deadline(timeout)
        interval = FIRST_INTERRUPT_INTERVAL
        self._interrupting = True
        try:
            while channel.interrupt() and not await channel.exchange_over(interval):
                interval = min(interval * 2, LONGEST_INTERRUPT_INTERVAL)
                if asyncio.get_running_loop().time() >= deadline:
                    raise SessionTimeout(
                        "the code on the board catches Ctrl-C and goes on; a soft or hard reset would end it",
                        recovered=False,
                    )
        finally:
            self._interrupting = False
        return True

    async def settled(self) -> None:
        """Wait until a recovery that was started in the background is over. Bounded by ``recovery_timeout``."""
        if self._recovery is not None:
            await asyncio.wait([self._recovery])

    # -- one operation ------------------------------------------------------------------------------------------

    def begin(self) -> Channel:
        """Start an operation whose turn has been taken. Raises, and passes the turn on, when the board is not there."""
        channel = self.channel
        if channel is None or not channel.in_step:
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

    async def _end_badly(self, channel: Channel, error: BaseException) -> NoReturn:
        """End an operation that did not come to its end, and raise what the caller is to see."""
        if isinstance(error, LinkLost):
            self.turn.release()
            reason = error.__cause__ or self.trouble
            if channel.repl.may_have_started:
                raise OutcomeUnknown(
                    f"{reason}. Code was running; nobody can tell how far it came"
                ) from error.__cause__
            raise Disconnected(f"{reason}. The code had not started") from error.__cause__
        if not isinstance(error, Exception):
            self._start_recovery(channel)  # cancelled: the caller does not wait for it
            raise error
        epoch = self.boot_epoch
        recovered = await self._bring_back(channel)
        if self.boot_epoch != epoch:
            when = "while the code ran" if channel.started else "before the code arrived, which did not run"
            raise BoardWasReset(f"the board restarted {when}: its variables are gone") from None
        if isinstance(error, Expired):
            outcome = (
                "the code was stopped and the board is ready again" if recovered else f"and since then {self.trouble}"
            )
            raise SessionTimeout(
                f"the operation did not end before its deadline; {outcome}", recovered=recovered
            ) from None
        raise error

    def _result(self, event: Finished, duration: float) -> ExecutionResult:
        if event.traceback:
            if self._interrupting and is_keyboard_interrupt(event.traceback):
                raise Interrupted("the code was stopped by interrupt()")
            raise execution_error(event.traceback, event.output)
        return ExecutionResult(event.output, duration)

    def _unusable(self) -> SessionClosed | Disconnected:
        match self._lifecycle.state:
            case _State.CREATED:
                return SessionClosed("the session is not connected; use `async with session:` or `await connect()`")
            case _State.DISPOSED:
                return SessionClosed("the session was closed for good; make a new one")
            case _State.DISCONNECTED:
                return Disconnected(f"the session is not connected: {self.trouble}; `await connect()` tries anew")
            case state:
                return SessionClosed(f"the session is in {state.name}: {self.trouble}; `await connect()` tries anew")

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
            return self._give_up(
                channel,
                f"the board did not return to its prompt within {limit:g} s: "
                "its program catches Ctrl-C, or it hangs and needs a reset",
            )
        else:
            self.boot_epoch += restarted
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
