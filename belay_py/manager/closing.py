"""How a manager ends: by `close`, by a signal, with its event loop, or with the program."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Self

from belay_py.manager import exiting
from belay_py.manager.endings import seconds_of_grace
from belay_py.manager.overview import Overview
from belay_py.manager.shutdown import Shutdown
from belay_py.manager.signals import DEFAULT_SIGNALS, SignalHandling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import TracebackType

    from belay_py.manager.pool import Pool
    from belay_py.manager.shutdown import ManagerState


class Closing(Overview):
    """What begins and ends a manager."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._shutdown = Shutdown(pool)
        # Not at exit: by then it may be used still, and there is a hook that closes it.
        weakref.finalize(self, exiting.forgotten, self._shutdown).atexit = False

    @property
    def state(self) -> ManagerState:
        """``"open"``, ``"draining"`` from the beginning of its end on, ``"closed"`` at last. It never goes back."""
        return self._shutdown.state

    def _begin(self) -> None:
        if self._shutdown.state == "open":
            super()._begin()
            self._shutdown.begin_guard()
        else:  # nothing begins any more
            self._pool.require_here()

    async def start(self) -> None:
        """Make the devices of the settings known, and begin to watch. The first use does it too.

        Nothing is waited for: the devices of ``warm_up`` are connected in the background. Raises `JournalError`.
        """
        self._begin()

    async def close(self, grace: float | None = None) -> None:
        """End all leases and sessions, for good. Safe in any state and any number of times.

        New leases are refused at once, and those who wait are; leases that are held get ``grace`` seconds, by default
        ``close_grace``, to end by themselves. Then what runs on the boards is stopped, or left alone with
        ``on_close="leave"``, the ports are closed, and the cleanups run. Each step is bounded and logged, and one that
        fails or hangs does not keep the others from being taken. A caller that is cancelled leaves it going on; a
        second one with a shorter ``grace`` shortens it. In a forked child it does nothing. Raises `SettingsError` for a
        ``grace`` that is no number of seconds.
        """
        await self._shutdown.close(self._pool.options.close_grace if grace is None else grace)

    async def hand_over(self, grace: float | None = None) -> None:
        """End as `close` does, so that another process can go on with the boards: see its `take_over`.

        What runs on the boards after ``grace`` seconds, by default ``close_grace``, is stopped, whatever ``on_close``
        says; what they hold stays, and they are left at their friendly prompts. The journal, if there is one, says that
        they were handed over, and in which life. Raises `SettingsError` as `close` does.
        """
        if grace is not None:
            seconds_of_grace(grace)  # a manager that stays open hands nothing over
        if self.state == "open":
            self._pool.handing_over = True
        await self.close(grace)

    def add_cleanup(
        self, name: str, callback: Callable[[], object] | Callable[[], Awaitable[object]], *, timeout: float = 5.0
    ) -> Callable[[], None]:
        """Have ``callback`` called when the manager closes, after its sessions; return what takes it out again.

        The one that was added last comes first. An asynchronous one runs in the manager's loop, a plain one in a thread
        of its own, since it may block. One that raises is logged, one that takes longer than ``timeout`` seconds is
        left behind, and the others go on. Raises `SettingsError`.
        """
        self._pool.require_process()
        return self._shutdown.cleanups.add(name, callback, timeout)

    def handle_signals(self, signals: Iterable[int] = DEFAULT_SIGNALS, *, grace: float | None = None) -> SignalHandling:
        """Close the manager at the first of ``signals``; return what puts the former handlers back.

        When the manager is closed, with ``grace`` for its leases as in `close`, the signal is passed on: to the handler
        that was there before (that of `asyncio.run` cancels the main task and raises KeyboardInterrupt), or else as
        ``SystemExit(128 + number)``, so that the program's own ``finally`` blocks run. A second signal closes it at
        once and terminates: by the former handler, or by the system's default action.

        Used as ``async with manager.handle_signals():`` the block ends by the signal too, rather than by the
        `BelayError` that its operations raise then. Signals that are ignored stay so. Raises `BelayError` outside of
        the main thread, `SettingsError` for what is no signal.
        """
        self._begin()
        seconds = self._pool.options.close_grace if grace is None else grace
        return SignalHandling(self._shutdown, signals, seconds)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
