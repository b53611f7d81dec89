"""Restarting a board on purpose: its interpreter, or the whole chip; and what the new life is called."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, ProtocolViolation, SessionTimeout
from belay_py.lifecycle import DeviceSessionState
from belay_py.protocol import BoardReset, Finished
from belay_py.session.channel import Expired, LinkLost
from belay_py.session.tracebacks import execution_error
from belay_py.text import to_text
from belay_py.transports.profiled import profile_of

if TYPE_CHECKING:
    from belay_py.session.channel import Channel
    from belay_py.session.link import Link
    from belay_py.session.operations import Operations
    from belay_py.session.recovery import Recovery
    from belay_py.session.standing import Standing

_RESET_CHIP: Final = b"__import__('machine').reset()"
# A board on a UART greets again within a second. Some say nothing before they are spoken to (tried on the Pico
# emulator), and a boot.py that is still running then is interrupted.
_LONGEST_SILENCE = 1.5
_BETWEEN_ATTEMPTS = 0.2  # seconds; a board with native USB is away for one or two, and its port is made anew


@dataclass(frozen=True, slots=True)
class Boot:
    """One life of a board's interpreter. ``epoch`` counts those that the session knows of."""

    epoch: int
    restarted: bool = True
    """False where the board turned out to be in the same life as before."""
    output: str = ""
    """What the boot printed, where that was seen."""


class Resets:
    """The resets of one session."""

    def __init__(self, standing: Standing, operations: Operations, recovery: Recovery, link: Link) -> None:
        self._standing = standing
        self._operations = operations
        self._recovery = recovery
        self._link = link

    async def soft(self, timeout: float | None) -> Boot:
        """Restart the interpreter. See `DeviceSession.soft_reset`."""
        standing = self._standing
        deadline = standing.deadline(timeout)
        channel = await standing.begin(deadline)
        try:
            event = await channel.soft_reset(deadline)
        except BaseException as error:  # noqa: BLE001  it goes on, as our error or as it was
            await self._operations.end_badly(channel, error, may_have_run=True)
        output = to_text(event.boot_output.removeprefix(b"OK\r\n"))
        if not await self._recovery.bring_back(channel, restarted=True, boot_output=output):
            raise SessionTimeout(f"the board restarted, but then {standing.trouble}", recovered=False)
        return Boot(standing.boot_epoch, output=output)

    async def hard_by_lines(self, timeout: float | None) -> Boot:
        """Restart the chip by the lines of its port, whatever runs there. See `DeviceSession.hard_reset`."""
        standing = self._standing
        deadline = standing.deadline(timeout, standing.options.connection_timeout)
        await standing.turn.wait(deadline)
        epoch = standing.boot_epoch
        channel = standing.channel
        if channel is None or not standing.usable:
            await self._connect(deadline, reset_chip=True)
        else:
            standing.lifecycle.flip("begin")
            try:
                await channel.reset_chip(
                    await profile_of(standing.options.port, standing.options.communication.profile)
                )
            except LinkLost:
                await self._connect(deadline)
            except ConnectionFailed:
                standing.end()
                raise
            except BaseException:
                self._recovery.start(channel)  # cancelled: the caller does not wait for it
                raise
            else:
                await self._bring_back(channel, deadline)
        return self._told(epoch, "")

    async def hard(self, timeout: float | None) -> Boot:
        """Restart the chip by its own code and connect to it again. See `DeviceSession.hard_reset`."""
        standing = self._standing
        deadline = standing.deadline(timeout, standing.options.connection_timeout)
        channel = await standing.begin(deadline)
        epoch = standing.boot_epoch
        channel.chip_was_reset = True
        output = ""
        try:
            event = await channel.execute(_RESET_CHIP, min(deadline, _now() + _LONGEST_SILENCE))
        except LinkLost:
            await self._connect(deadline)
        except (Expired, ProtocolViolation):
            await self._bring_back(channel, deadline)
        except BaseException:
            self._recovery.start(channel)  # cancelled: the caller does not wait for it
            raise
        else:
            output = await self._after_answer(channel, event, deadline)
        return self._told(epoch, output)

    def _told(self, epoch_before: int, output: str) -> Boot:
        epoch = self._standing.boot_epoch
        if epoch == epoch_before:
            raise ProtocolViolation("the reset was sent, but the board has not restarted; press its reset button")
        return Boot(epoch, output=output)

    async def _after_answer(self, channel: Channel, event: Finished | BoardReset, deadline: float) -> str:
        if isinstance(event, BoardReset):
            # What boot.py and main.py print comes before the banner; the code itself has printed nothing.
            output = to_text(event.output + event.boot_output)
            await self._bring_back(channel, deadline, restarted=True, output=output)
            return output
        channel.chip_was_reset = False
        self._standing.end()
        if event.traceback:
            error = execution_error(event.traceback, event.output)
            error.add_note("this board cannot reset its chip by itself; press its reset button, or use soft_reset()")
            raise error
        return ""

    async def _bring_back(
        self, channel: Channel, deadline: float, *, restarted: bool = False, output: str = ""
    ) -> None:
        limit = max(0.0, deadline - _now())
        ready = await self._recovery.bring_back(channel, restarted=restarted, boot_output=output, limit=limit)
        if ready:
            return
        if self._standing.lifecycle.state is not DeviceSessionState.DISCONNECTED:
            raise SessionTimeout(f"the board was reset, but then {self._standing.trouble}", recovered=False)
        # It has left the bus only now.
        await self._standing.turn.wait(deadline)
        await self._connect(deadline)

    async def _connect(self, deadline: float, *, reset_chip: bool = False) -> None:
        """Connect to a board whose link went away with it, or that is stuck; has the turn, and gives it on."""
        try:
            while True:
                try:
                    await self._link.connect_in_turn(deadline, reset_chip=reset_chip)
                except (DeviceNotFound, DeviceBusy, ConnectionFailed):
                    if reset_chip or _now() + _BETWEEN_ATTEMPTS >= deadline:
                        raise
                    await asyncio.sleep(_BETWEEN_ATTEMPTS)
                else:
                    return
        finally:
            self._standing.turn.release()


def _now() -> float:
    return asyncio.get_running_loop().time()
