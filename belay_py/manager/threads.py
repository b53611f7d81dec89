"""Work of a manager that blocks, beside its loop and beside the application's own `asyncio.to_thread`."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from belay_py.transports.offload import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_P = ParamSpec("_P")


class Threads(Executor):
    """A daemon thread for each call, which nobody joins: one that hangs does not keep the program from ending.

    And none waits for another one, as in the loop's own executor, which an application can fill.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Begin a call. Raises `ConnectionFailed` when the system gives no more threads."""
        future: Future[_T] = Future()

        def run() -> None:
            future.set_running_or_notify_cancel()  # it cannot be cancelled any more
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001  it is raised where the future is waited for
                future.set_exception(error)
            else:
                future.set_result(result)

        start_thread(run, name=self._name)
        return future
