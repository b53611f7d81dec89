"""Bringing a board back to a verified prompt after an operation that did not come to its own end.

A recovery holds the session's turn: nobody gets the board before it is over. It goes on when the caller is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from belay_py.errors import ConnectionFailed, Disconnected, ProtocolViolation
from belay_py.lifecycle import DeviceSessionState
from belay_py.session.channel import NO_MEMORY
from belay_py.session.outcomes import Expired, LinkLost
from belay_py.transports.profiled import profile_of

if TYPE_CHECKING:
    from belay_py.session.channel import Channel
    from belay_py.session.standing import Standing

_log = logging.getLogger(__name__)


class Recovery:
    """The recoveries of one session, one at a time."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._task: asyncio.Task[bool] | None = None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._task is not None and not self._task.done()

    async def settled(self, deadline: float | None = None) -> bool:
        """Wait until the latest one is over; return whether it is, at ``deadline`` or before.

        Bounded by ``recovery_timeout``, after a hard reset by the deadline of that.
        """
        if self._task is None:
            return True
        limit = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
        await asyncio.wait([self._task], timeout=limit)
        return self._task.done()

    def start(
        self, channel: Channel, *, restarted: bool = False, boot_output: str = "", limit: float | None = None
    ) -> asyncio.Task[bool]:
        """Begin one; the caller has the turn, which is passed on at its end.

        ``restarted`` says that the board is known to have restarted, ``boot_output`` what it printed. ``limit`` is
        seconds, at least and by default ``recovery_timeout``. The result is whether the board is ready.
        """
        work = self._recover(channel, restarted, boot_output, self._limit(limit))
        self._task = asyncio.get_running_loop().create_task(work)
        return self._task

    def _limit(self, limit: float | None) -> float:
        return max(limit or 0.0, self._standing.options.recovery_timeout)

    async def bring_back(
        self, channel: Channel, *, restarted: bool = False, boot_output: str = "", limit: float | None = None
    ) -> bool:
        """Recover and wait for it; a caller that is cancelled meanwhile leaves the recovery running."""
        return await asyncio.shield(self.start(channel, restarted=restarted, boot_output=boot_output, limit=limit))

    def throw_away(self, channel: Channel) -> bool:
        """End a connection over a network whose board has not answered in time; return whether it is one.

        It is not brought back: when the network returns, commands and answers of any age do. To all it is a lost link.
        But with ``reset_when_stuck`` the lines of a remote port are wanted, for which the connection must live.
        """
        if not channel.crosses_a_network or self._standing.options.reset_when_stuck:
            return False
        port = self._standing.options.port
        channel.throw_away(
            Disconnected(f"{port} did not answer before a deadline and was closed, as it is behind a network")
        )
        return True

    async def bring_back_in_time(self, channel: Channel, *, restarted: bool = False) -> bool:
        """`bring_back` after a deadline has passed: not over a network, where the connection ends instead."""
        if not self.throw_away(channel):
            return await self.bring_back(channel, restarted=restarted)
        # As a recovery, it goes on when the caller is cancelled: nobody is to meet what is left of the connection.
        self._task = asyncio.get_running_loop().create_task(self._until_closed(channel))
        return await asyncio.shield(self._task)

    async def _until_closed(self, channel: Channel) -> bool:
        try:
            await channel.closed()
        finally:
            self._standing.turn.release()
        return False

    async def _recover(self, channel: Channel, restarted: bool, boot_output: str, limit: float) -> bool:
        standing = self._standing
        try:
            restarted |= await self._to_the_prompt(channel, limit)
        except LinkLost:
            return self._give_up(channel, "the link was lost while the board was brought back to its prompt")
        except ProtocolViolation:
            return self._give_up(channel, "the board answered nonsense while it was brought back to its prompt")
        except Expired:
            if b"MemoryError" in channel.repl.unanswered:
                return self._give_up(channel, f"the board {NO_MEMORY}")
            return self._give_up(
                channel,
                f"the board did not return to its prompt within {limit:g} s: "
                "its program catches Ctrl-C, or it hangs; press its reset button, or where its port has lines, "
                "hard_reset(by_lines=True)",
            )
        except asyncio.CancelledError:
            self._give_up(channel, "the event loop was shut down while the board was brought back to its prompt")
            raise
        except Exception as error:
            self._give_up(channel, f"bringing the board back to its prompt failed ({error})")
            raise
        else:
            if restarted:
                channel.code_room = 0
                standing.life = channel.life
                standing.restarted(boot_output)
            if standing.lifecycle.state is DeviceSessionState.ACTIVE:
                standing.lifecycle.flip("finish")
            return True
        finally:
            standing.turn.release()

    async def _to_the_prompt(self, channel: Channel, limit: float) -> bool:
        """Interrupt until the prompt is there, and if allowed reset the chip; return whether the board restarted."""
        standing = self._standing
        try:
            return await channel.recover(standing.deadline(limit))
        except Expired:
            options = standing.options
            if not options.reset_when_stuck:
                raise
            try:
                await channel.reset_chip(await profile_of(standing.whereabouts.port, options.communication.profile))
            except (ConnectionFailed, Disconnected) as error:
                about = standing.counters.about
                _log.warning("%s is stuck and cannot be reset by its lines: %s", options.port, error, extra=about)
                raise Expired from error
            await channel.recover(standing.deadline(limit))
            return True

    def _give_up(self, channel: Channel, trouble: str) -> bool:
        self._standing.fail(trouble)
        channel.close()
        return False
