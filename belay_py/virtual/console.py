"""Where the board's output goes: gathered while the program computes, sent when it waits or ends, or soon after."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual.wire import Wire

_GATHER = 4096
"""Bytes after which the output is sent at once, in one system call."""
_LATEST = 0.004
"""Seconds after which output of a program that computes on is sent."""


class Console:
    """The sending half of the link. Without a wire output is discarded, as on a USB board without a host.

    `abandon` tells a sender that waits whether to give up: the board is being reset.
    """

    def __init__(self, abandon: Callable[[], bool]) -> None:
        self._abandon = abandon
        self._wire: Wire | None = None
        self._buffer = bytearray()
        self._sending = threading.Lock()
        self._waiting = threading.Event()
        threading.Thread(target=self._send_late, name="late output", daemon=True).start()

    def connect(self, wire: Wire) -> None:
        """Send to `wire` from now on; bytes from before are dropped."""
        with self._sending:
            self._buffer.clear()
            self._wire = wire

    def disconnect(self, wire: Wire) -> None:
        """Send to `wire` no more. It must have been cut, so that no sender holds on to it."""
        with self._sending:
            if self._wire is wire:
                self._wire = None

    def write(self, data: bytes) -> None:
        """Take bytes; blocks while the other end lets the wire fill up."""
        with self._sending:
            self._buffer += data
            full = len(self._buffer) >= _GATHER
        if full:
            self.flush()
        elif not self._waiting.is_set():
            self._waiting.set()

    def flush(self) -> None:
        """Send what is gathered."""
        if not self._buffer:
            return
        with self._sending:
            data = bytes(self._buffer)
            self._buffer.clear()
            wire = self._wire
            if wire is not None and data:
                wire.write(data, self._abandon)

    def _send_late(self) -> None:
        while self._waiting.wait():
            time.sleep(_LATEST)
            self._waiting.clear()
            self.flush()
