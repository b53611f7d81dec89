"""Children that are being started: the end of this program waits until they can be ended with it.

They are started in daemon threads, which the interpreter freezes wherever they are. A child that was there already, and
not yet known to anybody, would live on.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final

from belay_py.errors import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST: Final = 5.0
"""Seconds that the end waits: a start takes milliseconds, on a machine that is overloaded a second."""


class Starts:
    """The starts under way, from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._over = False
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self._forget)

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """The time in which a child is started and made known. Raises `ConnectionFailed` when this program ends."""
        with self._changed:
            if self._over:
                raise ConnectionFailed("this program ends, so no process is started any more")
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def end(self) -> None:
        """Let no further one begin, and wait for those under way."""
        with self._changed:
            self._over = True
            self._changed.wait_for(lambda: not self._under_way, _LONGEST)

    def _forget(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._over = False


starts: Final = Starts()
"""Those of this process."""
