"""The blocking face: the names of `belay_py`, for scripts.

    from belay_py.sync import DeviceSession

    with DeviceSession("virtual:") as session:
        print(session.execute("print('hi')").output)

There is one implementation, the asyncio one; it runs on a loop in a thread of its own, so that what must go on between
two calls does. Calls may come from any thread and queue in order. Ctrl-C in the terminal stops the board, waits for its
bounded recovery, and raises KeyboardInterrupt.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, overload

from belay_py.errors import BelayError, SessionClosed
from belay_py.session import session as asynchronous

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
    from datetime import datetime
    from types import TracebackType

    from belay_py.lifecycle import DeviceSessionState
    from belay_py.options import DeviceSessionOptions
    from belay_py.session.execution import ExecutionResult
    from belay_py.session.info import BoardInfo
    from belay_py.session.streaming import TextMode

__all__ = ["DeviceSession"]

_T = TypeVar("_T")

# A lock that is waited for without limit cannot be left by Ctrl-C on Windows. Elsewhere it can, unless the signal comes
# in the microseconds between the interpreter's last look at signals and the wait: then nothing would end that.
_SLICE = 0.2
_AT_EXIT = 2.0  # seconds that open sessions get to leave their boards in order


class _Call(Generic[_T]):
    """One call on its way to the loop's thread and back.

    A raw lock hands the result over: 20 to 50 µs, a fifth of what `asyncio.run_coroutine_threadsafe` takes.
    """

    __slots__ = ("_coroutine", "_done", "_error", "_loop", "_over", "_result", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._task: asyncio.Task[_T] | None = None
        self._error: BaseException | None = None
        self._over = False
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def start(self) -> None:
        """Runs on the loop's thread."""
        if sys.version_info >= (3, 12):
            task = asyncio.Task(self._coroutine, loop=self._loop, eager_start=True)
        else:
            task = asyncio.Task(self._coroutine, loop=self._loop)
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


async def _next(pieces: AsyncGenerator[_T]) -> _T | None:
    """`anext` with a default, as a coroutine, which is what a task takes."""
    return await anext(pieces, None)


class _LoopThread:
    """The event loop behind every blocking session of this process."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.ended = False
        self.sessions: weakref.WeakSet[asynchronous.DeviceSession] = weakref.WeakSet()
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
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise BelayError("the blocking face was called from its own loop; use belay_py.DeviceSession there")
        call = _Call(self._loop, coroutine)
        try:
            self._loop.call_soon_threadsafe(call.start)
            call.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(call.cancel)
            call.wait()
            cleanup = _Call(self._loop, settle())
            self._loop.call_soon_threadsafe(cleanup.start)
            cleanup.wait()
            raise
        return call.result()

    def end(self) -> None:
        """Close the sessions that are open, for two seconds at most, and stop the loop."""
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
_thread_of_process: _LoopThread | None = None


def _loop_thread() -> _LoopThread:
    global _thread_of_process  # noqa: PLW0603  one loop thread per process is the point
    found = _thread_of_process
    if found is not None and found.process == os.getpid():
        return found
    with _lock:
        if _thread_of_process is None or _thread_of_process.process != os.getpid():
            _thread_of_process = _LoopThread()
        return _thread_of_process


def _after_fork() -> None:
    """A child inherits the lock as it was, perhaps held by a thread that it does not have."""
    global _lock  # noqa: PLW0603  it is replaced where no other thread can be
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    """End the loop's thread while it can still run: the interpreter freezes it later, and calls would wait for ever."""
    thread = _thread_of_process
    if thread is not None and thread.process == os.getpid():
        thread.end()


class DeviceSession:
    """The blocking `belay_py.DeviceSession`: the same options, methods and errors."""

    def __init__(self, port: str | DeviceSessionOptions, *, device_id: str | None = None, **options: Any) -> None:
        self._session = asynchronous.DeviceSession(port, device_id=device_id, **options)
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<sync {repr(self._session)[1:]}"

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._process != os.getpid():
            coroutine.close()
            raise BelayError(
                "this session belongs to the process that made it; a forked child must make its own, on another board"
            )
        thread = _loop_thread()
        if thread.ended:
            coroutine.close()
            raise SessionClosed("the program is ending, and its sessions were closed; use them before that")
        thread.sessions.add(self._session)
        return thread.run(coroutine, settle=self._session.settled)

    def _run_if_alive(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """For endings: in a forked child, and while the program ends, there is nothing left to end."""
        thread = _thread_of_process
        if self._process != os.getpid() or (thread is not None and thread.ended):
            coroutine.close()
        else:
            self._run(coroutine)

    @property
    def options(self) -> DeviceSessionOptions:
        """The session's options."""
        return self._session.options

    @property
    def session_id(self) -> str:
        """A secret, unique name of this session."""
        return self._session.session_id

    @property
    def device_id(self) -> str:
        """The name of the device."""
        return self._session.device_id

    @property
    def state(self) -> DeviceSessionState:
        """The session's state now."""
        return self._session.state

    @property
    def info(self) -> BoardInfo:
        """See `belay_py.DeviceSession.info`."""
        return self._session.info

    @property
    def created_at(self) -> datetime:
        """When the session was made, in UTC."""
        return self._session.created_at

    @property
    def last_used(self) -> datetime:
        """When the latest operation began or ended, in UTC."""
        return self._session.last_used

    @property
    def generation(self) -> int:
        """Counts the connections of this session."""
        return self._session.generation

    @property
    def boot_epoch(self) -> int:
        """Counts the lives of the board's interpreter."""
        return self._session.boot_epoch

    def connect(self) -> None:
        """See `belay_py.DeviceSession.connect`."""
        self._run(self._session.connect())

    def disconnect(self) -> None:
        """See `belay_py.DeviceSession.disconnect`."""
        self._run(self._session.disconnect())

    def close(self) -> None:
        """See `belay_py.DeviceSession.close`. Does nothing in a forked child, and when the program is ending."""
        self._run_if_alive(self._session.close())

    def __enter__(self) -> Self:
        try:
            self.connect()
        except KeyboardInterrupt:
            self.disconnect()  # it may have come right after the end of connecting
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except KeyboardInterrupt:
            self.close()  # it may have come before the first one began
            raise

    def execute(self, code: str | bytes, *, timeout: float | None = None) -> ExecutionResult:
        """See `belay_py.DeviceSession.execute`."""
        return self._run(self._session.execute(code, timeout=timeout))

    def evaluate(self, expression: str, *, timeout: float | None = None) -> Any:
        """See `belay_py.DeviceSession.evaluate`."""
        return self._run(self._session.evaluate(expression, timeout=timeout))

    @overload
    def stream(self, code: str | bytes, *, timeout: float | None = None, mode: TextMode = "text") -> Iterator[str]: ...

    @overload
    def stream(self, code: str | bytes, *, timeout: float | None = None, mode: Literal["bytes"]) -> Iterator[bytes]: ...

    def stream(
        self, code: str | bytes, *, timeout: float | None = None, mode: TextMode | Literal["bytes"] = "text"
    ) -> Iterator[str] | Iterator[bytes]:
        """See `belay_py.DeviceSession.stream`. Leaving the loop early stops the board."""
        if mode == "bytes":  # the overloads of the asynchronous one want to see the literal
            return self._iterate(self._session.stream(code, timeout=timeout, mode="bytes"))
        return self._iterate(self._session.stream(code, timeout=timeout, mode=mode))

    def _iterate(self, pieces: AsyncGenerator[_T]) -> Iterator[_T]:
        try:
            while (piece := self._run(_next(pieces))) is not None:
                yield piece
        finally:
            self._run_if_alive(pieces.aclose())

    def interrupt(self, *, timeout: float | None = None) -> bool:
        """See `belay_py.DeviceSession.interrupt`; from another thread than the one that waits."""
        return self._run(self._session.interrupt(timeout=timeout))

    def soft_reset(self, *, timeout: float | None = None) -> str:
        """See `belay_py.DeviceSession.soft_reset`."""
        return self._run(self._session.soft_reset(timeout=timeout))
