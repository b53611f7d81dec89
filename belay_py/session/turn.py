"""Whose turn it is on a session: a fair lock whose free case costs no coroutine."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from belay_py.errors import SessionClosed, SessionTimeout

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """First come, first served, by direct hand-off: nobody barges in between a release and the next waiter."""

    when_free: Callable[[], None] | None = None
    """Called when the turn becomes free with nobody waiting."""
    _held = False
    _refused = False
    _waiters: deque[asyncio.Future[None]] | None = None  # most turns see none, and each lease has one

    @property
    def is_busy(self) -> bool:
        """Whether somebody has the turn."""
        return self._held

    def take(self) -> bool:
        """Take the turn if it is free; return whether it was."""
        if self._held:
            return False
        self._held = True
        return True

    async def wait(self, deadline: float) -> None:
        """Take the turn, or queue for it until ``deadline``, a reading of the loop's clock.

        Raises `SessionTimeout` when it does not come in time; nothing was started then.
        """
        if self._refused:
            raise _over()
        if self.take():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = deque()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except BaseException as error:  # it goes on, or one of ours does
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release()  # it was handed over in the same moment: pass it on
            else:
                waiter.cancel()
                with contextlib.suppress(ValueError):  # a release in this very moment has skipped it already
                    self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise SessionTimeout(
                    "the session was busy with another operation until the deadline; nothing was sent. "
                    "Allow more time, or use a session per board",
                    outcome="not_started",
                ) from None
            raise

    def refuse(self) -> bool:
        """Let nobody wait any more, now or later: they raise `SessionClosed`. Return whether somebody has the turn."""
        self._refused = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(_over())
        return self._held

    def release(self) -> None:
        """Give the turn to the longest waiting, or free it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._held = False
        if self.when_free is not None:
            self.when_free()


def _over() -> SessionClosed:
    return SessionClosed("the lease of this session is over, and what it had not begun was not sent; take another one")
