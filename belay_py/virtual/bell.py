"""A wake-up for the board's thread: something happened, look again."""

from __future__ import annotations

import threading


class Bell:
    """Counts rings, so that one which comes between a look and a wait is not missed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it rang so far; take it before looking, and hand it to `wait`."""
        return self._rings

    def ring(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, since: int, timeout: float | None = None) -> bool:
        """Return as soon as it has rung since `since`; False when `timeout` seconds passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: self._rings != since, timeout)
