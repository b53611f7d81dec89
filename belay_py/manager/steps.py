"""Steps of an ending, one after the other: each is bounded and logged, and none keeps the next from being taken."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from belay_py.errors import BelayError

if TYPE_CHECKING:
    from collections.abc import Coroutine

_log = logging.getLogger(__name__)

_IN_A_HURRY: Final = 0.5  # seconds for each step that is left; closing a real port takes a tenth of one
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

    async def take(self, name: str, work: Coroutine[Any, Any, object], limit: float) -> bool:
        """Do one thing within ``limit`` seconds; return whether it was done. What it raises is logged."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        task = loop.create_task(self._reported(name, work), name=f"belay {name}")
        await self.wait({task}, limit)
        if not task.done():
            _log.error("closing: %s: not done after %.3g s, and left undone", name, loop.time() - began)
            task.cancel()
            await self._ends_at_last(task)
            return False
        if task.cancelled():
            _log.warning("closing: %s: was cancelled", name)
            return False
        done = task.result()
        if done:
            _log.info("closing: %s: done in %.3f s", name, loop.time() - began)
        return done

    async def wait(self, tasks: set[asyncio.Task[Any]], limit: float) -> None:
        """Wait until all of ``tasks`` are done, for ``limit`` seconds, or for a moment when there is a hurry."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while pending := {task for task in tasks if not task.done()}:
            if self.hurried:
                deadline = min(deadline, loop.time() + _IN_A_HURRY)
            left = deadline - loop.time()
            if left <= 0:
                return
            waited: set[asyncio.Future[Any]] = {*pending}
            if not self.hurried:
                waited.add(self._in_a_hurry)
            try:
                await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                self._note(error)

    def end(self) -> None:
        """Raise the cancellation that came meanwhile, if one did."""
        if self._cancelled is not None:
            raise self._cancelled

    async def _ends_at_last(self, task: asyncio.Task[Any]) -> None:
        try:
            await asyncio.wait([task], timeout=_LAST_MOMENT)
        except asyncio.CancelledError as error:
            self._note(error)

    def _note(self, error: asyncio.CancelledError) -> None:
        self._cancelled = error
        self.hurry()

    async def _reported(self, name: str, work: Coroutine[Any, Any, object]) -> bool:
        try:
            await work
        except BelayError as error:
            _log.error("closing: %s: failed: %s", name, error)  # noqa: TRY400  it says all there is to know
        except Exception:  # noqa: BLE001  an application's step may raise anything, and the rest go on
            _log.exception("closing: %s: failed", name)
        else:
            return True
        return False
