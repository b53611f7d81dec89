"""The application's own steps at the end of a manager: a camera to release, a supply to switch off."""

from __future__ import annotations

import asyncio
import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from belay_py.errors import SettingsError
from belay_py.manager.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.manager.steps import Steps


@dataclass(frozen=True, slots=True, eq=False)
class _Cleanup:
    name: str
    callback: Callable[[], object]
    timeout: float


class Cleanups:
    """What is to be done at the end, last added first."""

    def __init__(self) -> None:
        self._cleanups: list[_Cleanup] = []

    def add(
        self, name: str, callback: Callable[[], object] | Callable[[], Awaitable[object]], timeout: float
    ) -> Callable[[], None]:
        """Add one; return what takes it out again. Raises `SettingsError`."""
        if not isinstance(name, str) or not name:
            raise SettingsError(f"the name of a cleanup is {name!r}; it must be text, which the log shows")
        if not callable(callback):
            raise SettingsError(f"the cleanup {name!r} is {callback!r}, which cannot be called; pass a function")
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise SettingsError(f"timeout is {timeout!r}; it must be a number of seconds above 0")
        cleanup = _Cleanup(name, callback, timeout)
        self._cleanups.append(cleanup)

        def take_out() -> None:
            if cleanup in self._cleanups:
                self._cleanups.remove(cleanup)

        return take_out

    def __len__(self) -> int:
        return len(self._cleanups)

    async def run(self, steps: Steps) -> None:
        """Take them all, once."""
        while self._cleanups:
            cleanup = self._cleanups.pop()
            await steps.take(f"cleanup {cleanup.name!r}", functools.partial(_call, cleanup), min(cleanup.timeout, 1e9))

    def run_plain(self) -> list[str]:
        """Where no event loop runs any more: run the plain ones, and return the names of the others."""
        left: list[str] = []
        while self._cleanups:
            cleanup = self._cleanups.pop()
            if _is_async(cleanup.callback):
                left.append(cleanup.name)
                continue
            running = Threads("belay cleanup").submit(cleanup.callback)
            try:
                running.result(cleanup.timeout)
            except Exception as error:  # noqa: BLE001  it may raise anything, and the rest go on
                left.append(f"{cleanup.name} ({type(error).__name__}: {error})")
        return left


async def _call(cleanup: _Cleanup) -> None:
    if _is_async(cleanup.callback):
        result: Any = cleanup.callback()
    else:
        # In a thread: only so can it be left behind when it hangs.
        result = await asyncio.get_running_loop().run_in_executor(Threads("belay cleanup"), cleanup.callback)
    if inspect.isawaitable(result):
        await result


def _is_async(callback: Callable[[], object]) -> bool:
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)
