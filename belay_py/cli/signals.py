"""Ctrl-C and its relatives: for verbs that a signal breaks off, and for one that waits for it.

SIGTERM (a service manager, ``timeout``) and SIGHUP (the terminal's window was closed) are treated like Ctrl-C, so that
a board does not run on with nobody there to read what it writes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_SAME_SIGNAL = 0.5
"""Seconds within which a second signal is the first one's echo: coreutils' ``timeout`` sends to the process and to its
group, and ``make`` and ``npm`` pass on what the terminal has sent already."""
_LONGEST_STOP = 10.0
"""Seconds from the first signal to the process's end, whatever happens: a session's recovery takes up to 5."""


class Stopped(KeyboardInterrupt):
    """A signal asked for the end. Being a KeyboardInterrupt, it makes the blocking session stop its board."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal_number = number
        self.consequence = ""
        """What became of the board, for the message."""


@contextlib.contextmanager
def breaking_off() -> Iterator[None]:
    """Raise `Stopped` at the first signal. At one that comes later, end the process as it is.

    The first starts a recovery of the board, which is bounded by seconds; who presses Ctrl-C again does not want to
    wait for it, and an exception in the middle of it would leave a worse mess than the process's end does.
    """
    stopped_at: float | None = None
    last_resort = threading.Timer(_LONGEST_STOP, os._exit)
    last_resort.daemon = True

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_at
        del frame
        now = time.monotonic()
        if stopped_at is None:
            stopped_at = now
            last_resort.args = (128 + number,)
            last_resort.start()
            raise Stopped(number)
        if now - stopped_at > _SAME_SIGNAL:
            os._exit(128 + number)

    with _handling(stop):
        try:
            yield
        finally:
            last_resort.cancel()


class StopRequest:
    """Whether a signal has asked for the end, and a way to wait for that. Made by `stop_request`."""

    def __init__(self, bell: socket.socket) -> None:
        self._bell = bell
        self.requested = False

    def wait(self, *others: socket.socket, timeout: float) -> list[socket.socket]:
        """Wait for a signal, for something to read on ``others``, or for the time; return which of them have it."""
        ready, _, _ = select.select([self._bell, *others], [], [], timeout)
        return [other for other in others if other in ready]


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note signals instead of raising, so that what cleans up is never broken off."""
    bell, rope = socket.socketpair()
    with bell, rope:
        rope.setblocking(False)
        request = StopRequest(bell)

        def note(number: int, frame: FrameType | None) -> None:
            del number, frame
            request.requested = True

        # The interpreter itself writes to it, so that a signal between a look at `requested` and `select` wakes that.
        before = signal.set_wakeup_fd(rope.fileno(), warn_on_full_buffer=False)
        try:
            with _handling(note):
                yield request
        finally:
            signal.set_wakeup_fd(before)


@contextlib.contextmanager
def telling(tell: Callable[[int], None], *, at_last: Callable[[], object]) -> Iterator[None]:
    """Call ``tell`` with the number of the first signal, on the main thread, instead of raising.

    When that has not ended this within ten seconds, ``at_last`` is called and the process ends as it is.
    """

    def end(number: int) -> None:
        at_last()
        os._exit(128 + number)

    last_resort = threading.Timer(_LONGEST_STOP, end)
    last_resort.daemon = True

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if not last_resort.is_alive():
            last_resort.args = (number,)
            last_resort.start()
            tell(number)

    with _handling(note):
        try:
            yield
        finally:
            last_resort.cancel()


@contextlib.contextmanager
def _handling(handler: object) -> Iterator[None]:
    # What was ignored stays so: that is how nohup, and shells for jobs in the background, keep signals away.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handler)  # type: ignore[arg-type]  # both shapes of handler are above
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
