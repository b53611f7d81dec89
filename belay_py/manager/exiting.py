"""Managers that nobody has closed: what becomes of them when the program ends, or when nobody refers to them any more.

Most of them are closed by their guard, a task that `asyncio.run` cancels and waits for. Here are the others: loops that
are never shut down, loops of other threads, and loops that are closed already.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import weakref
from typing import TYPE_CHECKING, Final

from belay_py.virtual import running  # noqa: F401  so that its exit hook runs after ours: boards end after sessions

if TYPE_CHECKING:
    from belay_py.manager.shutdown import Shutdown

_log = logging.getLogger(__name__)

_AT_EXIT: Final = 2.0  # seconds for all boards of one manager; somebody waits for the program to end

_open: weakref.WeakSet[Shutdown] = weakref.WeakSet()


def register(shutdown: Shutdown) -> None:
    """Have a manager closed when the program ends before anybody has closed it."""
    _open.add(shutdown)
    # Exit hooks run in the opposite order: before the one that ends loops, whenever that came.
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def unregister(shutdown: Shutdown) -> None:
    """Forget a manager that is closed."""
    _open.discard(shutdown)


def forgotten(shutdown: Shutdown) -> None:
    """Say that nobody refers to a manager any more that was not closed."""
    pool = shutdown.pool
    if shutdown.state != "open" or pool.is_inherited or not pool.members:
        return
    if pool.is_orphan:
        _log.warning("%s was never closed, and its event loop is: its ports are closed now", shutdown.name)
        shutdown.abandon()
        return
    _log.warning(
        "%s was dropped without being closed: its boards stay taken until its event loop ends; use `async with`, or "
        "await close()",
        shutdown.name,
    )


def _at_exit() -> None:
    for shutdown in list(_open):
        _log.warning("%s was not closed, and the program ends: it is closed now", shutdown.name)
        _close(shutdown)


def _after_fork() -> None:
    """In the child: the managers are its parent's."""
    for shutdown in list(_open):
        shutdown.end_guard()
    _open.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


def _close(shutdown: Shutdown) -> None:
    pool = shutdown.pool
    if pool.is_orphan:
        shutdown.abandon()
        return
    with contextlib.suppress(Exception):  # the interpreter is on its way out, and nobody is there to be told
        if pool.loop.is_running():
            asyncio.run_coroutine_threadsafe(shutdown.close(0.0), pool.loop).result(_AT_EXIT)
        else:
            pool.loop.run_until_complete(asyncio.wait_for(shutdown.close(0.0), _AT_EXIT))
