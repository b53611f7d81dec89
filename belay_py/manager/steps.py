"""Steps of an ending: each is bounded and logged, and none keeps the next from being taken."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from belay_py.errors import BelayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from belay_py.session.about import About

_log = logging.getLogger(__name__)

Step: TypeAlias = "tuple[str, Callable[[], Awaitable[object]], float, About | None]"
"""What `Steps.take` takes."""

_IN_A_HURRY: Final = 0.5  # seconds for each step that is left; closing a real port takes a tenth of one
_PATIENCE: Final = 0.2  # seconds of those: code that stops at Ctrl-C has stopped by then
_LAST_MOMENT: Final = 0.1  # seconds for a step to end after it was cancelled


class Steps:
    """The steps of one ending.

    A cancellation is kept until the last one was taken, and makes all of them hurry: whoever cancels an ending, an
    event loop that is being shut down, can wait for moments only.
    """

    def __init__(self) -> None:
        self._in_a_hurry = asyncio.get_running_loop().create_future()
        self._cancelled: asyncio.CancelledError | None = None

    @property
    def hurried(self) -> bool:
        """Whether there is no time for anything but the ends themselves."""
        return self._in_a_hurry.done()

    def hurry(self) -> None:
        """Give each step from now on, and the one that is being taken, a moment only."""
        if not self._in_a_hurry.done():
            self._in_a_hurry.set_result(None)

    async def take(
        self, name: str, work: Callable[[], Awaitable[object]], limit: float, about: About | None = None
    ) -> None:
        """Do one thing within ``limit`` seconds. What it raises is logged, ``about`` a session or none."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        step = _Step(name, work, about)
        task = loop.create_task(step.run(), name=f"belay {name}")
        await self._wait(task, limit)
        if task.cancelled() and not step.begun:  # a loop that is shut down cancels what it finds, but nothing later
            task = loop.create_task(step.run(), name=f"belay {name}")
            await self._wait(task, limit)
        took = loop.time() - began
        if not task.done():
            _log.error("closing: %s: not done after %.3g s, and left undone", name, took, extra=about)
            task.cancel()
            await self._until({task}, asyncio.get_running_loop().time() + _LAST_MOMENT)
        elif task.cancelled():
            _log.warning("closing: %s: was cancelled", name, extra=about)
        elif task.result():
            _log.info("closing: %s: done in %.3f s", name, took, extra=about)

    async def take_together(self, steps: Iterable[Step]) -> None:
        """Do several things at the same time."""
        loop = asyncio.get_running_loop()
        wanted = {loop.create_task(self.take(*step), name=f"belay bounds {step[0]}"): step for step in steps}
        while wanted:
            await self._until({*wanted}, None)
            for task in [task for task in wanted if task.done()]:
                step = wanted.pop(task)
                if task.cancelled():  # before it began, or it would have kept that
                    wanted[loop.create_task(self.take(*step), name=task.get_name())] = step

    async def patiently(self, work: Coroutine[Any, Any, None]) -> None:
        """Inside a step: do what can be left out, which a hurry breaks off a moment later."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task, self._in_a_hurry}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task}, timeout=_PATIENCE)
        finally:
            task.cancel()
        if task.done() and not task.cancelled():
            task.result()

    def end(self) -> None:
        """Raise the cancellation that came meanwhile, if one did."""
        if self._cancelled is not None:
            raise self._cancelled

    async def _wait(self, task: asyncio.Task[bool], limit: float) -> None:
        """Wait for a task for ``limit`` seconds, or for a moment when there is a hurry."""
        deadline = asyncio.get_running_loop().time() + limit
        if not self.hurried:
            await self._until({task, self._in_a_hurry}, deadline)
        if not task.done() and self.hurried:
            await self._until({task}, min(deadline, asyncio.get_running_loop().time() + _IN_A_HURRY))

    async def _until(self, waited: set[asyncio.Future[Any]], deadline: float | None) -> None:
        """Return when one of them is done, at the deadline, or at a cancellation, which is kept."""
        left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
        try:
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            self._cancelled = error
            self.hurry()


class _Step:
    """One step on its way."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], about: About | None) -> None:
        self._name = name
        self._work = work
        self._about = about
        self.begun = False

    async def run(self) -> bool:
        """Do it; return whether nothing went wrong."""
        self.begun = True
        try:
            await self._work()
        except BelayError as error:
            _log.error("closing: %s: failed: %s", self._name, error, extra=self._about)
        except (Exception, SystemExit):  # noqa: BLE001  an application's step may raise anything, and the rest go on
            _log.exception("closing: %s: failed", self._name, extra=self._about)
        else:
            return True
        return False
