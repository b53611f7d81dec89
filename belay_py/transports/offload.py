"""Blocking work in a thread of its own, with a hand-over that cancelling cannot break.

Opening a port can block: in the driver, in a network's time-outs. The result is *accepted or it did not happen*: who
is cancelled while waiting leaves nothing open, because the worker itself discards what nobody takes any more.

Daemon threads rather than asyncio's executor: `asyncio.run` and the interpreter join the executor's threads without
a deadline, so one driver that hangs would keep the program from ending; and a hundred slow ports would keep
everybody else's `asyncio.to_thread` waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakValueDictionary

from belay_py.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Handover(Generic[T]):
    """One result between a worker and a waiter; whoever comes second decides what becomes of it."""

    def __init__(self, discard: Callable[[T], object]) -> None:
        self._lock = threading.Lock()
        self._discard = discard
        self._abandoned = False
        self._offered: list[T] = []

    def offer(self, result: T) -> bool:
        with self._lock:
            if not self._abandoned:
                self._offered.append(result)
                return True
        self._discard(result)
        return False

    def take(self) -> T:
        return self._offered.pop()

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            unwanted, self._offered = self._offered, []
        for result in unwanted:
            self._discard(result)


class _Order:
    """A lock that can be weakly referenced, so that names nobody uses are forgotten."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_orders: WeakValueDictionary[str, _Order] = WeakValueDictionary()
_orders_lock = threading.Lock()


def _serial_order(name: str) -> _Order:
    with _orders_lock:
        return _orders.setdefault(name, _Order())


async def offload(work: Callable[[], T], discard: Callable[[T], object], *, name: str) -> T:
    """Run ``work`` in a daemon thread and return its result, or raise its exception. One at a time for each ``name``.

    Cancelled, it returns at once and ``discard`` gets the result whenever it comes: in the worker's thread, or here
    when it is there already. ``discard`` must not raise and must not block for long.

    Raises `ConnectionFailed` when no thread can be started. A loop whose clock would not wait for the thread has a
    method ``refuse_real_time``, which raises what it wants.
    """
    loop = asyncio.get_running_loop()
    if (refuse := getattr(loop, "refuse_real_time", None)) is not None:
        refuse()
    done: asyncio.Future[None] = loop.create_future()
    handover: _Handover[T] = _Handover(discard)

    def finish(exc: BaseException | None) -> None:
        if done.done():
            return
        if exc is None:
            done.set_result(None)
        else:
            done.set_exception(exc)

    def run() -> None:
        failure: BaseException | None = None
        try:
            # A work that was abandoned still holds the port until it is discarded: who asks next waits for that,
            # rather than being told that the port is busy.
            with _serial_order(name):
                if not handover.offer(work()):
                    return
        except BaseException as exc:  # noqa: BLE001  it is raised in the waiting task
            failure = exc
        # The loop may have been closed meanwhile: then nobody waits, and the waiter's cancellation discarded it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(finish, failure)

    start_thread(run, name=name)
    try:
        await done
    except asyncio.CancelledError:
        handover.abandon()
        raise
    return handover.take()


def start_thread(run: Callable[[], None], *, name: str) -> threading.Thread:
    """A running daemon thread. Raises `ConnectionFailed` when the system gives no more."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        raise ConnectionFailed("the system starts no more threads: close some sessions, or raise its limit") from exc
    return thread
