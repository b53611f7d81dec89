"""The event loop behind every blocking session of this process, in a thread of its own, and the way there and back.

A call goes over with `call_soon_threadsafe` and comes back through a raw lock: 20 to 50 µs, a fifth of what
`asyncio.run_coroutine_threadsafe` takes. What must go on between two calls goes on.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextlib
import contextvars
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from belay_py.errors import BelayError
from belay_py.virtual import running  # noqa: F401  so that its exit hook runs after ours: boards end after sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from belay_py.session.session import DeviceSession

_T = TypeVar("_T")

# A lock that is waited for without limit cannot be left by Ctrl-C on Windows. Elsewhere it can, unless the signal comes
# in the microseconds between the interpreter's last look at signals and the wait: then nothing would end that.
_SLICE = 0.2
_AT_EXIT = 2.0  # seconds that open sessions get to leave their boards in order


class _Call(Generic[_T]):
    """One call on its way to the loop's thread and back."""

    __slots__ = ("_context", "_coroutine", "_done", "_error", "_loop", "_over", "_result", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._loop = loop
        # What a caller has set in its context variables, its group of operations among them, goes over too.
        self._context = contextvars.copy_context()
        self._coroutine = coroutine
        self._task: asyncio.Task[_T] | None = None
        self._error: BaseException | None = None
        self._over = False
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def start(self) -> None:
        """Runs on the loop's thread."""
        if sys.version_info >= (3, 12):
            task = asyncio.Task(self._coroutine, loop=self._loop, context=self._context, eager_start=True)
        else:
            task = asyncio.Task(self._coroutine, loop=self._loop, context=self._context)
        self._task = task
        if task.done():
            self._finish(task)
        else:
            task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[_T]) -> None:
        if task.cancelled():
            self._error = asyncio.CancelledError()
        elif (error := task.exception()) is not None:
            self._error = error
        else:
            self._result = task.result()
        self._over = True
        self._done.release()

    def cancel(self) -> None:
        """Runs on the loop's thread."""
        if self._task is not None:
            self._task.cancel()
        elif not self._over:  # Ctrl-C came before `start` was scheduled
            self._coroutine.close()
            self._error = asyncio.CancelledError()
            self._over = True
            self._done.release()

    def wait(self) -> None:
        """Return when the call has ended. Ctrl-C raises KeyboardInterrupt here, and the call goes on."""
        # Ctrl-C may come right after the lock was taken; the flag makes a second wait end all the same.
        while not self._over:
            self._done.acquire(timeout=_SLICE)

    def result(self) -> _T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # a traceback that refers to itself would wait for the garbage collector
        return self._result


class LoopThread:
    """The event loop behind every blocking session of this process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.ended = False
        self.sessions: weakref.WeakSet[DeviceSession] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="belay-py-loop", daemon=True)
        self._thread.start()
        started.wait()

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(started.set)
        self._loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, _T], *, settle: Callable[[], Coroutine[Any, Any, None]]) -> _T:
        """Run a coroutine to its end and return its result.

        On Ctrl-C it is cancelled; ``settle`` is then awaited, which must be bounded, and KeyboardInterrupt goes on.
        """
        if self.is_here:
            coroutine.close()
            raise BelayError("the blocking face was called from its own loop; use belay_py.DeviceSession there")
        call = _Call(self._loop, coroutine)
        try:
            self._loop.call_soon_threadsafe(call.start)
            call.wait()
        except BaseException:  # Ctrl-C above all; it goes on below
            self._loop.call_soon_threadsafe(call.cancel)
            call.wait()
            cleanup = _Call(self._loop, settle())
            self._loop.call_soon_threadsafe(cleanup.start)
            cleanup.wait()
            raise
        return call.result()

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the loop's thread."""
        return threading.current_thread() is self._thread

    def end(self) -> None:
        """Close the sessions that are open, for two seconds at most, and stop the loop. Managers have closed theirs."""
        self.ended = True
        ends = [session.close() for session in list(self.sessions)]
        closing = asyncio.run_coroutine_threadsafe(_all(ends), self._loop)
        with contextlib.suppress(Exception):  # the interpreter is on its way out, and nobody is there to be told
            closing.result(_AT_EXIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_AT_EXIT)


async def _all(coroutines: list[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*coroutines, return_exceptions=True)


# Reentrant: a signal handler or a destructor may use a session while its thread is in here.
_lock = threading.RLock()
_current: LoopThread | None = None


def loop_thread() -> LoopThread:
    global _current  # noqa: PLW0603  one loop thread per process is the point
    found = _current
    if found is not None and found.process == os.getpid():
        return found
    with _lock:
        if _current is None or _current.process != os.getpid():
            _current = LoopThread()
        return _current


def has_ended() -> bool:
    """Whether the program is ending, so that no call can come back any more."""
    return _current is not None and _current.ended


def _after_fork() -> None:
    """A child inherits the lock as it was, perhaps held by a thread that it does not have."""
    global _lock  # noqa: PLW0603  it is replaced where no other thread can be
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    """End the loop's thread while it can still run: the interpreter freezes it later, and calls would wait for ever."""
    thread = _current
    if thread is not None and thread.process == os.getpid():
        thread.end()
