"""Where a session stands with its board: the channel, the turn, the board's life, and why there is none of it.

Everything that works on a session's board (its link, its operations, its resets, its recovery) shares this one object.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from belay_py import events
from belay_py.devices.whereabouts import Whereabouts
from belay_py.errors import Disconnected, SessionClosed, SessionTimeout, SettingsError
from belay_py.lifecycle import DeviceSessionState, Lifecycle
from belay_py.metrics import Operation, observed
from belay_py.session.group import Turns
from belay_py.session.statistics import Counters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.metrics import Installations, Kind
    from belay_py.options import DeviceSessionOptions
    from belay_py.session.channel import Channel
    from belay_py.session.info import BoardInfo
    from belay_py.session.keeping import Keeper
    from belay_py.session.listeners import Listeners
    from belay_py.session.messages import Inbox

_State = DeviceSessionState
_T = TypeVar("_T")
_LOST = ("variables", "imports", "open files")
_NUMBERS: Final = (int, float)  # a union that is written where it is used is made anew each time
_FOR_EVER = 1e9  # seconds: what is asked for as inf, or as a number that a clock cannot hold


class Standing:
    """The shared state of one session's parts."""

    def __init__(self, options: DeviceSessionOptions, lifecycle: Lifecycle, listeners: Listeners) -> None:
        self.options = options
        self.lifecycle = lifecycle
        self.listeners = listeners
        self.turn = Turns()
        self.counters = Counters()
        self.instruments: Installations = ()
        """Those that are told of each operation; most sessions have none."""
        self.keeper: Keeper | None = None
        """The manager that has the session, if one has."""
        self.prepare: Callable[[float], Awaitable[None]] | None = None
        """Runs the session's setups, on a board that was just connected and until a deadline."""
        self.whereabouts = Whereabouts(options.port)
        """Where the board is, and what is known of it."""
        self.channel: Channel | None = None
        self.trouble = ""
        """Why there is no usable channel, for messages."""
        self.info: BoardInfo | None = None
        self.generation = 0
        self.boot_epoch = 0
        self.life: str | None = None
        """The name of the interpreter's life that was met last, by this session or, as a manager knows, before it."""
        self.kits: dict[str, int] = {}
        """What of our own the board holds: the names of kits, and the boot epochs in which they were sent."""
        self.inbox: Inbox | None = None
        """What hears the messages of the board, once somebody wants them."""
        self.restart_is_ours = False
        """Whether this session has asked for the restart that it sees next."""
        self.attached: bool | None = None
        """Whether the latest connect met that life again; None where nobody can tell."""
        self.last_used = time.time()
        self.last_begun = float("-inf")
        """When the latest operation began, or the board was connected, on the loop's clock."""

    def deadline(self, timeout: float | None, default: float | None = None) -> float:
        """Turn a caller's timeout, seconds or None for the default, into a reading of the loop's clock."""
        if timeout is None:
            timeout = self.options.operation_timeout if default is None else default
        return asyncio.get_running_loop().time() + self.seconds("timeout", timeout)

    def seconds(self, name: str, value: float) -> float:
        """Return a caller's number of seconds as one that a clock can hold. Raises `SettingsError`."""
        if not isinstance(value, _NUMBERS) or not value >= 0:
            raise SettingsError(f"{name} is {value!r}; it must be a number of seconds, 0 or more")
        return min(value, _FOR_EVER)

    @property
    def usable(self) -> bool:
        """Whether the board is at a verified prompt and this loop's."""
        channel = self.channel
        return channel is not None and channel.in_step and channel.is_of_this_loop

    async def begin(self, deadline: float) -> Channel:
        """Take the turn and start an operation. Raises, without the turn, when the board is not there."""
        if not self.turn.take():
            await self.turn.wait(deadline)
        channel = self.channel
        if channel is None or not channel.in_step or not channel.is_of_this_loop or not self.lifecycle.allows("begin"):
            channel = await self._reopened(deadline)
        self.last_begun = channel.time()
        if deadline <= self.last_begun:
            self.turn.release()
            raise no_time_left()
        try:
            self.lifecycle.flip("begin")
        except BaseException:  # nothing that a watcher raises comes here, but the turn must never be lost
            self.turn.release()
            raise
        self.last_used = time.time()
        return channel

    async def _reopened(self, deadline: float) -> Channel:
        """Return the channel after the keeper has connected. Raises, without the turn, when there is none."""
        try:
            if self.keeper is not None:
                await self.keeper.reopen(deadline)
            if self.channel is None or not self.usable or not self.lifecycle.allows("begin"):
                raise self.unusable()
        except BaseException:  # it goes on
            self.turn.release()
            raise
        return self.channel

    def end(self) -> None:
        """End an operation: the board is at a verified prompt."""
        if self.lifecycle.state is _State.ACTIVE:
            self.lifecycle.flip("finish")
        self.last_used = time.time()
        self.turn.release()

    def fail(self, trouble: str) -> None:
        """Go into ERROR, where that is legal."""
        if self.lifecycle.allows("fail"):
            self.trouble = trouble
            self.lifecycle.fire("fail")
            self.listeners.emit(events.SessionError, trouble=trouble)

    def met(self, board: BoardInfo, life: str | None, *, restarted: bool) -> None:
        """Note the board at the other end of a new connection, and the life of its interpreter.

        ``restarted`` says that it was restarted for the connection.
        """
        self.info = board
        before, self.life = self.life, life
        known = life is not None and before is not None
        self.attached = False if restarted else life == before if known else None
        if self.boot_epoch == 0:
            self.boot_epoch = 1
        elif not self.attached:  # a reconnection to a life that this session knows is no new epoch
            self.restart_is_ours |= restarted
            self.restarted()

    def restarted(self, output: str = "") -> None:
        """Note that the board's interpreter began a new life; ``output`` is what it printed then."""
        self.boot_epoch += 1
        requested, self.restart_is_ours = self.restart_is_ours, False
        lost = _LOST if self.keeper is None or not self.keeper.prepares else (*_LOST, "what on_connect prepared")
        self.listeners.emit(
            events.BoardReset, boot_epoch=self.boot_epoch, output=output, requested=requested, lost=lost
        )

    def operation(self, kind: Kind, generation: int | None = None) -> Operation:
        """Return what instruments are told of something that begins now."""
        about = self.counters.about
        generation = self.generation if generation is None else generation
        return Operation(kind, about.device_id, about.session_id, generation, self.whereabouts.port)

    def observe(self, kind: Kind, work: Awaitable[_T], generation: int | None = None) -> Awaitable[_T]:
        """Return ``work`` so that instruments, if there are any, are told of it."""
        if not self.instruments:
            return work
        return observed(self.instruments, self.operation(kind, generation), work)

    def unusable(self) -> SessionClosed | Disconnected:
        """Return the error that says why nothing can be run now."""
        state = self.lifecycle.state
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


def no_time_left() -> SessionTimeout:
    """Return the error for a deadline that has passed before anything was done."""
    return SessionTimeout("no time was left before the deadline, so nothing was sent", outcome="not_started")
