"""Signals that end a program: the first one drains a manager, the second one terminates.

Handlers are Python's own, in place of ``loop.add_signal_handler``: they work on every loop and system, beside the one
that `asyncio.run` installs for SIGINT, and while the loop is busy. They decide nothing but what comes next, and leave
the rest to the manager's loop, which may be another thread's.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from belay_py.errors import BelayError, SettingsError
from belay_py.manager.endings import seconds_of_grace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType

    from belay_py.manager.shutdown import Shutdown

_log = logging.getLogger(__name__)

DEFAULT_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_ECHO: Final = 0.1  # seconds: coreutils' `timeout` sends to the process, then to its group; npm passes signals on
_MOMENT: Final = 3.0  # seconds from the second signal to the end of the process, whatever happens


class Signals:
    """The handlers of one manager. What was ignored stays so: that is how nohup keeps signals away."""

    def __init__(self, shutdown: Shutdown, signals: Iterable[int], grace: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise BelayError("signals reach the main thread only; call handle_signals() there")
        self._shutdown = shutdown
        self._loop = shutdown.pool.loop
        self._grace = seconds_of_grace(grace)
        self._first: int | None = None
        self._first_at = 0.0
        self._is_second = False
        self._is_over = False
        """Whether the manager is closed, and the signal is to be passed on."""
        self._passed_on = False
        self._last_resort: threading.Timer | None = None
        self._previous: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {}
        self._handler = self._handle  # one object, by which it is known again
        self.closed = threading.Event()
        """Set when the manager is closed."""
        self._install(signals)
        shutdown.when_closed.append(self._on_closed)

    def __repr__(self) -> str:
        names = ", ".join(signal.Signals(number).name for number in self._previous)
        return f"<SignalHandling of {names or 'nothing'}>"

    def _install(self, signals: Iterable[int]) -> None:
        try:
            for number in signals:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handler)
        except (TypeError, ValueError, OSError) as error:
            self.restore()
            raise SettingsError(
                f"signals is {signals!r}, of which one cannot be handled ({error}); pass SIGINT, SIGTERM and the like"
            ) from error

    def restore(self) -> None:
        """Put back the handlers that were there before. In the main thread; any number of times."""
        for number, previous in self._previous.items():
            # None is a handler that Python does not know. One that came after this one stays, and may call it.
            if previous is not None and signal.getsignal(number) is self._handler:
                signal.signal(number, previous)

    # -- in the main thread, between any two of its instructions ------------------------------------------------

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._shutdown.pool.is_inherited or (self._first is None and self._shutdown.state == "closed"):
            self.restore()
            self._pass_on(number, frame)
        elif self._is_over:
            self.conclude()
        elif self._first is None:
            self._first, self._first_at = number, time.monotonic()
            self._tell(self._drain)
        elif time.monotonic() - self._first_at > _ECHO and not self._is_second:
            self._first, self._is_second = number, True
            self.restore()  # a third one finds what was there before
            self._last_resort = threading.Timer(_MOMENT, self._end_the_process)
            self._last_resort.daemon = True
            self._last_resort.start()
            self._tell(self._hurry)

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop is closed: there is nothing to drain any more
            self.conclude()

    def conclude(self) -> None:
        """Pass the signal on to what handled it before, once."""
        self.restore()
        if self._last_resort is not None:
            self._last_resort.cancel()
        if self._first is not None and not self._passed_on:
            self._passed_on = True
            self._pass_on(self._first, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        elif self._is_second:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        else:
            # The default action would skip every `finally` of the program.
            raise SystemExit(128 + number)

    def _end_the_process(self) -> None:
        _log.critical("%s did not close %g s after the second signal: the process ends now", self._name, _MOMENT)
        os._exit(128 + (self._first or 0))

    # -- in the manager's loop ----------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self._shutdown.name

    def _drain(self) -> None:
        number = signal.Signals(self._first or 0).name
        _log.info("%s: draining %s, leases have %g s; a second signal ends it at once", number, self._name, self._grace)
        self._shutdown.drain(self._grace)

    def _hurry(self) -> None:
        _log.warning("%s again: %s is closed at once", signal.Signals(self._first or 0).name, self._name)
        self._shutdown.hurry()

    def _on_closed(self) -> None:
        self._is_over = True
        self.closed.set()
        if threading.current_thread() is threading.main_thread():
            if self._first is None:
                self.restore()
            elif self._loop.is_running():
                # Not from here: what raises KeyboardInterrupt or SystemExit does so between two callbacks.
                self._loop.call_soon(self.conclude)
        elif self._first is not None:
            _wake_main_thread(self._first)

    def _ends_the_block(self, error: BaseException | None) -> bool:
        """Whether a block that ended like this is to end by the signal: it ended because of that."""
        if self._first is None:
            return False
        if isinstance(error, BaseExceptionGroup):
            return error.split((BelayError, asyncio.CancelledError))[1] is None
        return error is None or isinstance(error, BelayError | asyncio.CancelledError)


class SignalHandling(Signals):
    """What `DeviceSessionManager.handle_signals` returns: handlers that are in place until ``restore()``.

    As an ``async with`` block it ends by the signal that came: what the draining itself made the block raise, such as
    `SessionClosed` or `Interrupted`, gives way to that.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ends_the_block(error):
            self._passed_on = True  # the block has an end of its own
            self.restore()
            return
        try:
            await self._shutdown.close(self._grace)
            self.conclude()
            await asyncio.sleep(0)  # where asyncio.run's handler has cancelled this task
        except asyncio.CancelledError:
            if self._first != signal.SIGINT:
                raise
        task = asyncio.current_task()
        if self._first == signal.SIGINT and task is not None and task.cancelling():
            # What asyncio.run makes of a cancellation by its handler, but that a TaskGroup may have hidden it.
            raise KeyboardInterrupt from None


class BlockingSignalHandling(Signals):
    """The same for a manager whose loop is another thread's. As a ``with`` block it ends by the signal that came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ends_the_block(error):
            self._passed_on = True  # the block has an end of its own
            self.restore()
            return
        while not self.closed.wait(_WAKING):
            pass
        self.conclude()


_WAKING: Final = 0.2  # seconds: a wait without a limit cannot be left by a signal on Windows


def _wake_main_thread(number: int) -> None:
    """Have the handler of a signal run in the main thread, which may be waiting for something."""
    if hasattr(signal, "pthread_kill"):
        ident = threading.main_thread().ident
        if ident is not None:
            signal.pthread_kill(ident, number)
    else:
        _thread.interrupt_main(signal.Signals(number))
