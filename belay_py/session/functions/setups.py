"""What prepares a board for its tasks, and what clears it up: the setups and teardowns of a session, or of a lease.

A setup runs once for each connection and each life of the interpreter: when the session connects or resets the board,
and where nobody saw the board restart, before the next call of a task.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from belay_py.errors import BelayError
from belay_py.lifecycle import DeviceSessionState
from belay_py.session.errands import Errand
from belay_py.session.functions.functional import LONGEST_TEARDOWN
from belay_py.session.functions.generators import close

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from belay_py.session.functions.calling import Calls
    from belay_py.session.functions.tasks import Role, Task
    from belay_py.session.operations import Operations

_log = logging.getLogger(__name__)
_REACHABLE: Final = (DeviceSessionState.CONNECTED, DeviceSessionState.ACTIVE, DeviceSessionState.IDLE)


class Ends:
    """Ends of connections, of the session and its leases alike."""

    def __init__(self) -> None:
        self.one_at_a_time = asyncio.Lock()
        self.generation = 0
        """The connection whose teardowns have begun."""
        self.is_connecting = False
        """Whether setups run that a connection waits for."""


class Setups:
    """The setups and teardowns of one session, or those that one lease adds to them (to ``outer``)."""

    def __init__(self, calls: Calls, operations: Operations, outer: Setups | None = None) -> None:
        self.calls = calls
        self.operations = operations
        self.outer = outer
        self.abandoned: list[tuple[int, int]] = outer.abandoned if outer else []
        """Generators that nobody could close: the boot epoch and the number of each."""
        self._setups: list[Task[Any, Any]] = []
        self._teardowns: list[Task[Any, Any]] = []
        self._done: dict[str, tuple[int, int]] = {}
        """The connection and the life in which each setup, by its name on the board, has run."""
        self._ready: tuple[int, int] | None = None
        self.ends: Ends = outer.ends if outer else Ends()

    def of_lease(self) -> Setups:
        """Return what a lease adds to these, for its own length."""
        return Setups(self.calls, self.operations, self)

    def add(self, task: Task[Any, Any]) -> None:
        """Register a setup or a teardown. One that is the same as another one is that."""
        tasks = self._setups if task.role == "setup" else self._teardowns
        if not any(self._knows(task, known) for known in self.of_role(task.role)):
            tasks.append(task)
            self._ready = None
            if self.outer is None and task.role == "setup":
                self.calls.standing.prepare = self.on_connected

    def of_role(self, role: Role) -> list[Task[Any, Any]]:
        """Return those of one sort, in the order in which they were registered."""
        mine = self._setups if role == "setup" else self._teardowns
        return [*(self.outer.of_role(role) if self.outer else ()), *mine]

    def _knows(self, task: Task[Any, Any], known: Task[Any, Any]) -> bool:
        return task is known or (
            task.function.__qualname__ == known.function.__qualname__
            and task.definition().name == known.definition().name
        )

    async def prepare(self, errand: Errand) -> None:
        """Run the setups that have not run on this connection and in this life. The caller keeps others out."""
        standing = self.calls.standing
        if self.abandoned:
            await self._close_abandoned(errand)
        if self.is_ready:
            return
        now = (standing.generation, standing.boot_epoch)
        if self.outer is not None:
            await self.outer.prepare(errand)
        for task in self._setups:
            name = task.definition().name
            if self._done.get(name) != now:
                try:
                    await self.calls.run(errand, task)
                except BelayError as error:
                    error.add_note(f"this is of the setup {task.name}")
                    raise
                self._done[name] = now
        self._ready = now

    async def on_connected(self, deadline: float) -> None:
        """Prepare a board that was just connected; the caller has the turn. Raises what the setups raise."""
        self.ends.is_connecting = True
        try:
            async with self.calls.standing.turn.lent():
                await self.on_restarted(deadline)
        finally:
            self.ends.is_connecting = False

    async def on_restarted(self, deadline: float) -> None:
        """Prepare a board; the caller keeps others out. Raises what the setups raise."""
        if not self.is_ready:
            errand = Errand(self.operations, deadline)
            await self.calls.healed(errand, lambda: self.prepare(errand))

    @property
    def is_ready(self) -> bool:
        """Whether there is nothing to prepare."""
        standing = self.calls.standing
        mine = not self._setups or self._ready == (standing.generation, standing.boot_epoch)
        return mine and (self.outer is None or self.outer.is_ready)

    @property
    def has_teardowns(self) -> bool:
        """Whether `tear_down` has anything to do."""
        return bool(self._teardowns) or (self.outer is not None and self.outer.has_teardowns)

    async def tear_down(self, exclusive: Callable[..., AbstractAsyncContextManager[object]]) -> None:
        """Run the teardowns, the latest first, if the board is there. Bounded; what fails is logged.

        ``exclusive`` is that of the session. Who comes second to the end of one connection waits for the first.
        """
        if self.ends.is_connecting:
            return  # what has not been set up needs no teardown, and would keep it waiting
        async with self.ends.one_at_a_time:
            if self.ends.generation != self.calls.standing.generation:
                self.ends.generation = self.calls.standing.generation
                await self._tear_down_all(exclusive)

    async def _tear_down_all(self, exclusive: Callable[..., AbstractAsyncContextManager[object]]) -> None:
        teardowns = self.of_role("teardown")[::-1]
        standing = self.calls.standing
        if not teardowns or standing.channel is None or standing.lifecycle.state not in _REACHABLE:
            return
        try:
            await self.operations.interrupt(LONGEST_TEARDOWN)
            async with asyncio.timeout(LONGEST_TEARDOWN), exclusive(timeout=LONGEST_TEARDOWN):
                errand = Errand(self.operations, standing.deadline(LONGEST_TEARDOWN))
                for task in teardowns:
                    await self._tear_down(errand, task)
        except (BelayError, TimeoutError) as error:
            why = str(error) or "no time was left"
            _log.warning("%s: its teardowns did not end: %s", standing.options.port, why, extra=standing.counters.about)

    async def _tear_down(self, errand: Errand, task: Task[Any, Any]) -> None:
        try:
            await self.calls.run(errand, task)
        except BelayError as error:
            standing = self.calls.standing
            _log.warning(
                "%s: the teardown %s failed: %s",
                standing.options.port,
                task.name,
                error,
                extra=standing.counters.about,
            )

    async def _close_abandoned(self, errand: Errand) -> None:
        while self.abandoned:
            epoch, number = self.abandoned.pop()
            if epoch == self.calls.standing.boot_epoch:
                try:
                    await close(errand, number)
                except BelayError as error:
                    about = self.calls.standing.counters.about
                    _log.warning("an abandoned generator could not be closed: %s", error, extra=about)
