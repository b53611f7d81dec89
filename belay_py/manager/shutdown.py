"""Ending a manager with all it has: open, draining, closed, and never back."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from belay_py.errors import SessionClosed
from belay_py.manager import exiting
from belay_py.manager.cleanups import Cleanups
from belay_py.manager.endings import Endings, seconds_of_grace
from belay_py.manager.journaling import LONGEST_END
from belay_py.manager.steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.manager.pool import Pool

ManagerState: TypeAlias = Literal["open", "draining", "closed"]

_log = logging.getLogger(__name__)

_FOR_EVER: Final = 1e9  # seconds: what is asked for as inf
_BACKGROUND: Final = 5.0  # seconds for what the manager still does by itself, such as a reset after a lease


class Shutdown(Endings):
    """The end of one manager."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.state: ManagerState = "open"
        self.cleanups = Cleanups()
        self.when_closed: list[Callable[[], None]] = []
        """Called, once, at the end."""
        self._force_at = 0.0
        """How long leases have, on the loop's clock."""
        self._steps: Steps | None = None
        self._closing: asyncio.Task[None] | None = None
        self._guard: asyncio.Task[None] | None = None
        self._over: asyncio.Future[None] | None = None

    @property
    def name(self) -> str:
        """The manager, for people."""
        keys = list(self._pool.members)
        shown = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        return f"the manager of {shown}" if keys else "the manager (no devices)"

    @property
    def pool(self) -> Pool:
        """What is to be ended."""
        return self._pool

    # -- beginning ----------------------------------------------------------------------------------------------

    def begin_guard(self) -> None:
        """Have the manager closed when its event loop is shut down, or the interpreter, before anybody closes it."""
        if self._guard is None and self.state == "open":
            loop = self._pool.loop
            self._over = loop.create_future()
            self._guard = loop.create_task(self._guarded(self._over), name="belay manager's guard")
            exiting.register(self)

    async def _guarded(self, over: asyncio.Future[None]) -> None:
        """Wait for the manager's end. `asyncio.run` cancels this when its program has ended, and waits for it."""
        try:
            await asyncio.shield(over)
        except asyncio.CancelledError:
            if self._pool.is_inherited or self.state == "closed":
                raise
            if self.state == "open":
                _log.warning(
                    "%s was not closed, and its event loop ends: it is closed now; use `async with`, or await close()",
                    self.name,
                )
            while not over.done():
                self.drain(0.0)
                if self._closing is not None:
                    await asyncio.wait([self._closing])
            raise

    # -- the end ------------------------------------------------------------------------------------------------

    async def close(self, grace: float) -> None:
        """See `DeviceSessionManager.close`."""
        grace = seconds_of_grace(grace)
        if self._pool.is_inherited or self.state == "closed":
            return
        if self._pool.is_orphan:
            self.abandon()
            return
        self._pool.require_here()
        self.begin_guard()
        self.drain(grace)
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def drain(self, grace: float) -> None:
        """Begin to close, in the manager's loop; one that has begun already gives leases no more time than this."""
        loop = self._pool.loop
        force_at = loop.time() + grace
        if self.state == "open":
            self.state = "draining"
            for stop in self._pool.at_close:
                stop()
            self._pool.admission.refuse(
                self._pool.plan.drain(), lambda: SessionClosed("the manager is closing; make a new one")
            )
            self._force_at = force_at
            self._steps = Steps()
        elif force_at < self._force_at:
            self._force_at = force_at
            self._pool.admission.nudge()
        if self.state == "draining" and (self._closing is None or self._closing.done()):
            self._closing = loop.create_task(self._close(), name="belay manager closes")

    def hurry(self) -> None:
        """In the manager's loop: end what has begun at once; what takes time is left out."""
        self.drain(0.0)
        if self._steps is not None:
            self._steps.hurry()

    async def _close(self) -> None:
        pool, steps = self._pool, self._steps
        assert steps is not None, "draining begins with them"
        name, began = self.name, pool.time()
        members = list(pool.members.values())
        open_ = sum(member.session is not None for member in members)
        _log.info("closing %s: %d sessions, %d leases", name, open_, len(pool.leases))
        if any(self._is_used(member) for member in members):
            await steps.take(
                "leases end", functools.partial(self._wait_for_leases, members, lambda: self._force_at), 2 * _FOR_EVER
            )
        pool.lets_run = pool.options.on_close == "leave" and not pool.handing_over
        if pool.journaling is not None:  # who opens a port next finds what was last known of its board
            await steps.take("the journal", pool.journaling.settle, LONGEST_END)
        await steps.take_together(
            (
                f"session {member.key}",
                functools.partial(self._discard, member, "shutdown", steps),
                self.longest(member),
                member.about,
            )
            for member in members
        )
        if pool.tasks:
            await steps.take("what runs in the background", self._wait_for_background, _BACKGROUND)
        for task in list(pool.tasks):
            task.cancel()
        await self.cleanups.run(steps)
        if pool.journaling is not None:
            await steps.take("the journal's end", pool.journaling.end, LONGEST_END)
        self._closed()
        _log.info("closed %s in %.3f s", name, pool.time() - began)
        steps.end()

    async def _wait_for_background(self) -> None:
        while tasks := list(self._pool.tasks):
            await asyncio.wait(tasks)

    def _closed(self) -> None:
        self.state = "closed"
        exiting.unregister(self)
        if self._over is not None and not self._over.done() and not self._pool.is_orphan:
            self._over.set_result(None)
        callbacks, self.when_closed = self.when_closed, []
        for callback in callbacks:
            callback()

    # -- without an event loop ----------------------------------------------------------------------------------

    def end_guard(self) -> None:
        """Where the manager's loop never runs again, in a forked child too: let the guard go without a word."""
        if self._guard is not None:
            self._guard._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  asyncio's own way

    def abandon(self) -> None:
        """Where the manager's loop is closed: give the ports back, with a last word to each board."""
        if self.state == "closed" or self._pool.is_inherited:
            return
        self.end_guard()
        stop = self._pool.options.on_close == "stop"
        for member in list(self._pool.members.values()):
            channel = None if member.session is None else member.standing.channel
            if channel is not None:
                channel.close(stop=stop)
                _log.info("closing: session %s: its port is closed", member.key, extra=member.about)
        for name in self.cleanups.run_plain():
            _log.error("closing: cleanup %s: not done, since the event loop is closed", name)
        if self._pool.journaling is not None:
            self._pool.journaling.end_at_once()
        self._closed()
