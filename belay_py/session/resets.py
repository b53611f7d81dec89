"""Restarting a board on purpose: its interpreter, or the whole chip; and what the new life is called."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from belay_py.errors import (
    ConnectionFailed,
    Interrupted,
    OutcomeUnknown,
    ProtocolViolation,
    SessionClosed,
    SessionTimeout,
)
from belay_py.lifecycle import DeviceSessionState
from belay_py.protocol import BoardReset, Finished
from belay_py.session.outcomes import Dropped, Expired, LinkLost
from belay_py.session.restarting import LONGEST_SILENCE, RESET_CHIP
from belay_py.session.tracebacks import execution_error
from belay_py.text import to_text
from belay_py.transports.profiled import profile_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.channel import Channel
    from belay_py.session.link import Link
    from belay_py.session.recovery import Recovery
    from belay_py.session.standing import Standing


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

    def __init__(self, standing: Standing, recovery: Recovery, link: Link) -> None:
        self._standing = standing
        self._recovery = recovery
        self._link = link

    async def soft(self, timeout: float | None) -> Boot:
        """Restart the interpreter. See `DeviceSession.soft_reset`."""
        with self._asked_for():
            return await self._soft(timeout)

    async def hard_by_lines(self, timeout: float | None) -> Boot:
        """Restart the chip by the lines of its port, whatever runs there. See `DeviceSession.hard_reset`."""
        with self._asked_for():
            return await self._hard_by_lines(timeout)

    async def hard(self, timeout: float | None) -> Boot:
        """Restart the chip by its own code and connect to it again. See `DeviceSession.hard_reset`."""
        with self._asked_for():
            return await self._hard(timeout)

    @contextlib.contextmanager
    def _asked_for(self) -> Iterator[None]:
        """An operation that wants the board to restart."""
        standing = self._standing
        standing.restart_is_ours = True
        try:
            with standing.counters.operation():
                yield
        finally:
            # A recovery that goes on may see the restart yet.
            standing.restart_is_ours = standing.restart_is_ours and self._recovery.running

    async def _soft(self, timeout: float | None) -> Boot:
        standing = self._standing
        deadline = standing.deadline(timeout)
        channel = await standing.begin(deadline)
        try:
            event = await channel.soft_reset(deadline)
        except LinkLost as error:
            standing.turn.release()
            raise OutcomeUnknown(
                f"{error.__cause__ or standing.trouble}. The board was restarting"
            ) from error.__cause__
        except Expired:
            # Ctrl-D at a verified prompt is a restart, if a slow one.
            ready = await self._recovery.bring_back_in_time(channel, restarted=not channel.tells_restarts)
            outcome = "it is ready again" if ready else f"and since then {standing.trouble}"
            raise SessionTimeout(
                f"the board did not finish its restart before the deadline; {outcome}", recovered=ready
            ) from None
        except BaseException:  # it goes on
            self._recovery.start(channel, restarted=not channel.tells_restarts)
            raise
        output = to_text(event.boot_output.removeprefix(b"OK\r\n"))
        if not await self._recovery.bring_back(channel, restarted=True, boot_output=output):
            raise SessionTimeout(f"the board restarted, but then {standing.trouble}", recovered=False)
        return Boot(standing.boot_epoch, output=output)

    async def _hard_by_lines(self, timeout: float | None) -> Boot:
        standing = self._standing
        deadline = standing.deadline(timeout, standing.options.connection_timeout)
        await standing.turn.wait(deadline)
        epoch, endings = standing.boot_epoch, self._link.endings
        channel = standing.channel
        if channel is None or not standing.usable:
            await self._connect(deadline, endings, by_lines=True)
        else:
            standing.lifecycle.flip("begin")
            try:
                await channel.reset_chip(
                    await profile_of(standing.whereabouts.port, standing.options.communication.profile)
                )
            except LinkLost:
                await self._connect(deadline, endings)
            except ConnectionFailed:
                standing.end()
                raise
            except BaseException:  # it goes on
                self._recovery.start(channel)  # above all cancelled: the caller does not wait for it
                raise
            else:
                await self._bring_back(channel, deadline, endings)
        return self._told(epoch, "")

    async def _hard(self, timeout: float | None) -> Boot:
        standing = self._standing
        deadline = standing.deadline(timeout, standing.options.connection_timeout)
        channel = await standing.begin(deadline)
        epoch, endings = standing.boot_epoch, self._link.endings
        channel.chip_was_reset = True
        output = ""
        try:
            event = await channel.execute(RESET_CHIP, min(deadline, _now() + LONGEST_SILENCE))
        except LinkLost:
            await self._connect(deadline, endings)
        except Dropped:
            channel.chip_was_reset = False
            await self._recovery.bring_back(channel)
            raise Interrupted("the reset was stopped by interrupt() before the board had it") from None
        except (Expired, ProtocolViolation):
            await self._bring_back(channel, deadline, endings)
        except BaseException:  # it goes on
            self._recovery.start(channel)  # above all cancelled: the caller does not wait for it
            raise
        else:
            output = await self._after_answer(channel, event, deadline, endings)
        return self._told(epoch, output)

    def _told(self, epoch_before: int, output: str) -> Boot:
        epoch = self._standing.boot_epoch
        if epoch == epoch_before:
            raise ProtocolViolation("the reset was sent, but the board has not restarted; press its reset button")
        return Boot(epoch, output=output)

    async def _after_answer(self, channel: Channel, event: Finished | BoardReset, deadline: float, endings: int) -> str:
        if isinstance(event, BoardReset):
            # What boot.py and main.py print comes before the banner; the code itself has printed nothing.
            output = to_text(event.output + event.boot_output)
            await self._bring_back(channel, deadline, endings, restarted=True, output=output)
            return output
        channel.chip_was_reset = False
        self._standing.end()
        if event.traceback:
            error = execution_error(event.traceback, event.output)
            error.add_note("this board cannot reset its chip by itself; press its reset button, or use soft_reset()")
            raise error
        return ""

    async def _bring_back(
        self, channel: Channel, deadline: float, endings: int, *, restarted: bool = False, output: str = ""
    ) -> None:
        limit = deadline - _now()
        if await self._recovery.bring_back(channel, restarted=restarted, boot_output=output, limit=limit):
            return
        if self._standing.lifecycle.state is not DeviceSessionState.DISCONNECTED or self._link.endings != endings:
            raise SessionTimeout(f"the board was reset, but then {self._standing.trouble}", recovered=False)
        # It has left the bus only now.
        await self._standing.turn.wait(deadline)
        await self._connect(deadline, endings)

    async def _connect(self, deadline: float, endings: int, *, by_lines: bool = False) -> None:
        """Connect to a board whose link went away with it, or that is stuck; has the turn, and gives it on."""
        try:
            if self._link.endings != endings:
                raise SessionClosed("the session was disconnected while its board was being reset")
            await self._link.connect_in_turn(deadline, "lines" if by_lines else "never", patient=not by_lines)
        finally:
            self._standing.turn.release()


def _now() -> float:
    return asyncio.get_running_loop().time()
