"""`DeviceSession`: one board, one owner, one operation at a time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

from belay_py.lifecycle import DeviceSessionState, Lifecycle
from belay_py.options import RESETS, DeviceSessionOptions, check_text, one_of, require
from belay_py.session.about import About
from belay_py.session.clock import set_clock
from belay_py.session.described import Described
from belay_py.session.errands import Errand, deadline_of
from belay_py.session.evaluation import Evaluations
from belay_py.session.executing import Executing
from belay_py.session.functions.functional import Functional
from belay_py.session.guarded import guard_of
from belay_py.session.instrumented import Instrumented
from belay_py.session.link import Link
from belay_py.session.listeners import Listeners
from belay_py.session.many import ExecutingMany
from belay_py.session.messages import Messaging
from belay_py.session.monitor import Monitored, Monitoring
from belay_py.session.observable import Observable
from belay_py.session.operations import Operations
from belay_py.session.recovery import Recovery
from belay_py.session.resets import Boot, Resets
from belay_py.session.standing import Standing
from belay_py.session.waiting import wait_for_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from belay_py.events import Listener
    from belay_py.metrics import Kind
    from belay_py.options import ResetAtConnect
    from belay_py.session.files import Files
    from belay_py.session.group import Group

_T = TypeVar("_T")


class DeviceSession(Executing, ExecutingMany, Functional, Messaging, Described, Instrumented, Monitored, Observable):
    """One conversation with one board, through a serial port or whatever else `DeviceSessionOptions.port` names.

    Every call carries a deadline; after one has passed the board is interrupted, brought back to a verified prompt and
    only then used again. Calls from several tasks queue in order. Not for use from several threads or event loops:
    `belay_py.sync` is.
    """

    def __init__(self, port: str | DeviceSessionOptions, *, device_id: str | None = None, **options: Any) -> None:
        """Describe a session; nothing is opened before `connect` or ``async with``.

        ``port`` is a port or whole options; further keyword arguments are options of `DeviceSessionOptions`. Raises
        `SettingsError`.
        """
        check_text("device_id", device_id)
        self.options = DeviceSessionOptions.build(port, options)
        self.session_id = secrets.token_hex(16)
        self.device_id = device_id or self.options.port
        self.created_at = datetime.now(UTC)
        lifecycle = Lifecycle(self)
        self._listeners = Listeners(self, lifecycle)
        self._standing = Standing(self.options, lifecycle, self._listeners)
        self._standing.counters.about = About(self.session_id, self.device_id)
        self._guard = guard_of(self._standing)
        self._recovery = Recovery(self._standing)
        self._operations = Operations(self._standing, self._recovery)
        self._evaluations = Evaluations(self._operations)
        self._link = Link(self._standing)
        self._resets = Resets(self._standing, self._recovery, self._link)
        self._monitoring = Monitoring(self._standing)

    def __repr__(self) -> str:
        return f"<DeviceSession {self.device_id!r} on {self.options.port} {self.state.name}>"

    @property
    def files(self) -> Files:
        """The board's files."""
        from belay_py.session.files import Files  # noqa: PLC0415  20 modules that only files are worth

        return Files(self)

    # -- life ---------------------------------------------------------------------------------------------------

    async def connect(self, *, reset: ResetAtConnect | None = None) -> None:
        """Open the port, bring the board to a verified raw prompt and ask it what it is.

        A program that runs on the board is interrupted. ``reset`` is what is restarted then: nothing (``"never"``, so
        that what the board holds stays there; `attached` tells whether it has), its interpreter (``"soft"``) or its
        chip (``"hard"``, with ``machine.reset()``); None goes by the option ``reset``. A session that is connected
        already is left as it is, unless ``reset`` asks for a restart. Raises `DeviceNotFound`, `DeviceBusy`,
        `ConnectionFailed` (within ``connection_timeout`` seconds), `SessionTimeout` (an operation of somebody else does
        not end in time), `SessionClosed` (it was disconnected meanwhile), `IdentityChanged` (another board is there
        than before, which the next `connect` accepts, and no `reconnect`), `SettingsError` for a trace that cannot be
        written, or `IllegalTransition` after `close`.
        """
        if reset is not None:
            require("reset", reset, one_of(*RESETS))
        deadline = self._standing.deadline(self.options.connection_timeout)
        runs = self.state is DeviceSessionState.ACTIVE and not self._recovery.running
        if not await self._link.connect(deadline, reset, asked=True, runs=runs) and reset not in (None, "never"):
            await (self.soft_reset() if reset == "soft" else self.hard_reset())
            self._standing.attached = False

    async def reconnect(self, *, timeout: float | None = None) -> Boot:
        """Close the port, if it is open, and connect anew, after the operation that runs and before those that wait.

        The board is not reset, unless the option ``reset`` says so. ``timeout`` is seconds for all of it, by default
        ``connection_timeout``. Raises what `connect` raises.
        """
        deadline = self._standing.deadline(timeout, self.options.connection_timeout)
        restarted = await self._link.reconnect(deadline)
        return Boot(self.boot_epoch, restarted=restarted)

    async def disconnect(self) -> None:
        """Close the port and keep the session; code that runs is interrupted. Safe in any state.

        Teardowns run before, if there are any: see `teardown`.
        """
        try:
            if self._has_teardowns:
                await self._functions.tear_down(self.exclusive)
        finally:
            await self._monitoring.end()
            await self._link.disconnect()

    async def close(self) -> None:
        """Dispose of the session for good, after its teardowns. Safe in any state and any number of times."""
        try:
            if self._has_teardowns:
                await self._functions.tear_down(self.exclusive)
        finally:
            await self._monitoring.end()
            await self._link.close()

    async def settled(self) -> None:
        """Wait until a board whose operation was cancelled is stopped and ready. Bounded by ``recovery_timeout``.

        While a hard reset brings the board back, bounded by the deadline of that.
        """
        await self._recovery.settled()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- watching and sharing -----------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of `belay_py.events` from now on; return what ends that.

        A plain listener is called at once and must not block. An asynchronous one runs in a task of its own, one event
        after the other, and may execute on ``event.session``; one that lags by more than 1,000 events misses some. What
        a listener raises is logged and changes nothing.
        """
        return self._listeners.subscribe(listener)

    async def wait_for_state(self, *states: DeviceSessionState, timeout: float | None = None) -> DeviceSessionState:
        """Wait until the session is in one of ``states``, or passes through it; return that one.

        Raises `SessionTimeout` after ``timeout`` seconds, by default ``operation_timeout``, and `SessionClosed` when
        the session was disposed of, so that it cannot come any more.
        """
        return await wait_for_state(self._standing, states, self._standing.deadline(timeout))

    @contextlib.asynccontextmanager
    async def exclusive(self, *, timeout: float | None = None) -> AsyncIterator[Self]:
        """Keep the board for the length of a ``with`` block: nobody else's operation comes in between.

        Members are the task that enters the block and the tasks that it starts in there: their operations go on as
        usual, those of others wait for its end. Raises
        `SessionTimeout` when it does not begin within ``timeout`` seconds, by default ``operation_timeout``.
        """
        group = self._group()
        try:
            await self._begin(group, timeout)
            with group.membership():
                yield self
        finally:
            group.end()

    # -- operations ---------------------------------------------------------------------------------------------

    async def interrupt(self, *, timeout: float | None = None) -> bool:
        """Stop the code that another task runs; that task gets `Interrupted`. Return whether any was running.

        Ctrl-C is repeated until the code ends. Raises `SessionTimeout` when it does not within ``timeout`` seconds, by
        default ``operation_timeout``: it catches the interrupt.
        """
        return await self._operations.interrupt(timeout)

    async def soft_reset(self, *, timeout: float | None = None) -> Boot:
        """Restart the board's interpreter; files stay, variables go, ``boot.py`` runs.

        The result's ``epoch`` is the new boot epoch, ``output`` what the boot printed. Setups run then. ``timeout`` is
        seconds for all of it, by default ``operation_timeout``. Raises `SessionTimeout`, `OutcomeUnknown`,
        `Disconnected`, `Interrupted`, `SessionClosed`, or what a setup raises.
        """
        return await self._standing.observe("soft_reset", self._restarted(self._resets.soft, timeout, None))

    async def hard_reset(self, *, by_lines: bool = False, timeout: float | None = None) -> Boot:
        """Restart the board's chip with ``machine.reset()`` and connect to it again; then as `soft_reset`.

        A board with native USB goes away meanwhile and is waited for. ``main.py`` starts, and is interrupted. With
        ``by_lines`` the lines of the port do it, also to a session that is not connected or in ERROR because the board
        is stuck; the board's profile knows how (`belay_py.devices.profiles`). ``timeout`` is seconds for all of it, by
        default ``connection_timeout``. Raises `SessionTimeout`, what `connect` raises (`ConnectionFailed` for a port
        without lines), and `ExecutionError` for a board that cannot reset itself.
        """
        reset = self._resets.hard_by_lines if by_lines else self._resets.hard
        return await self._standing.observe(
            "hard_reset", self._restarted(reset, timeout, self.options.connection_timeout)
        )

    async def set_time(
        self, when: datetime | None = None, *, utc: bool = False, timeout: float | None = None
    ) -> datetime:
        """Give the board's clock the host's local time, or its UTC, or ``when``; return what the clock shows then.

        It is set at the moment at which a second begins, and right to half a round trip. Raises `NotSupported` when the
        board has no ``machine.RTC``, and what `execute` raises.
        """
        set_to = functools.partial(set_clock, self._operations.execute, self._standing, when, utc=utc)
        return await self._around("set_time", lambda left: set_to(timeout=left), timeout, once=when is not None)

    # -- internals ----------------------------------------------------------------------------------------------

    async def _restarted(
        self, reset: Callable[[float | None], Awaitable[Boot]], timeout: float | None, default: float | None
    ) -> Boot:
        """Restart the board and run the setups, if there are any, before whoever waits for the board gets it."""
        if self._setups is None:
            return await reset(timeout)
        loop, deadline = asyncio.get_running_loop(), self._standing.deadline(timeout, default)
        async with self.exclusive(timeout=max(0.0, deadline - loop.time())):
            boot = await reset(max(0.0, deadline - loop.time()))
            await self._functions.on_restarted(deadline)
        return boot

    async def _errand(
        self,
        work: Callable[[Errand], Awaitable[_T]],
        timeout: float | None,
        *,
        kind: Kind = "call",
        idempotent: bool = False,
    ) -> _T:
        """Do what takes several executions, under the session's policies, with nobody's operation in between.

        ``timeout`` is seconds for all of it; with None each execution has ``operation_timeout``, and so has the wait
        for others to end.
        """

        async def attempt(left: float | None) -> _T:
            patience = None if timeout is None else left
            deadline = deadline_of(patience)
            async with self.exclusive(timeout=patience):
                return await work(Errand(self._operations, deadline))

        given = self._standing.seconds("timeout", math.inf if timeout is None else timeout)
        return await self._around(kind, attempt, given, idempotent=idempotent)

    def _group(self) -> Group:
        return self._standing.turn.group()

    async def _begin(self, group: Group, timeout: float | None) -> None:
        await group.begin(self._standing.deadline(timeout))
