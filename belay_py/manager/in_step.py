"""Looking at a manager from any thread: between two steps of its event loop, as its own parts do."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

from belay_py.errors import SessionTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.manager.pool import Pool

_T = TypeVar("_T")

PATIENCE: Final = 5.0
"""Seconds: half of what Prometheus gives a scrape by default."""


def in_step(pool: Pool, look: Callable[[], _T]) -> _T:
    """Return what ``look`` returns. Raises `SessionTimeout` when the loop does not come to it within `PATIENCE`."""
    loop = pool.home
    if loop is None or pool.is_inherited or not loop.is_running() or _runs_here(loop):
        return look()
    found: Future[_T] = Future()

    def answer() -> None:
        if not found.set_running_or_notify_cancel():
            return  # nobody waits any more
        try:
            found.set_result(look())
        except Exception as error:  # noqa: BLE001  it is the caller's, in whose thread it is raised
            found.set_exception(error)

    try:
        loop.call_soon_threadsafe(answer)
    except RuntimeError:  # it was closed in this moment: nobody changes anything any more
        return look()
    try:
        return found.result(PATIENCE)
    except TimeoutError:
        found.cancel()
        raise SessionTimeout(
            f"the manager's event loop did not answer within {PATIENCE:g} s; something blocks it, which asyncio's "
            "debug mode names",
            outcome="not_started",
        ) from None


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
