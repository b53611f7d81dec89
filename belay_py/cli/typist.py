"""Typing to a board no faster than it reads: a friendly REPL has no flow control, and its ring holds 64 to 260 bytes.

What a board has read it echoes, so only so much may be on its way without an echo. Programs that read without echoing,
and boards that compute, send none: after a while of that some more goes out, at growing intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

AHEAD = 32
"""Bytes without an echo that may be on their way; the smallest boards have rings of 64."""
_FIRST_PATIENCE = 0.25
_LONGEST_PATIENCE = 1.0
"""Seconds without an echo after which more is typed: a board with a ring of 260 may compute for 7 s in the middle of a
paste."""
_RETURN = 0x0D


class Typist:
    """Writes with ``write`` what it is told to `type`; wants to be told what it `heard`; tells when less is waiting."""

    def __init__(
        self, write: Callable[[bytes], None], loop: asyncio.AbstractEventLoop, less_waits: Callable[[], None]
    ) -> None:
        self._write = write
        self._less_waits = less_waits
        self._loop = loop
        self._queue = bytearray()
        self._unechoed = bytearray()
        self._patience = _FIRST_PATIENCE
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many bytes have not been typed, or not been echoed."""
        return len(self._queue) + len(self._unechoed)

    def type(self, data: bytes) -> None:
        """Type after what was to be typed before."""
        self._queue += data
        self._go_on()

    def interrupt(self, data: bytes) -> None:
        """Type at once, and forget what was to be typed before."""
        self.stop()
        self._write(data)

    def heard(self, data: bytes) -> None:
        """Take note of what the board sent."""
        if not self._unechoed:
            return
        before = len(self._unechoed)
        for byte in data:
            if self._unechoed and byte == self._unechoed[0]:
                del self._unechoed[0]
        if len(self._unechoed) < before:
            self._patience = _FIRST_PATIENCE
            self._go_on()

    def stop(self) -> None:
        """Forget everything that was to be typed."""
        self._queue.clear()
        self._unechoed.clear()
        self._patience = _FIRST_PATIENCE
        self._set_timer(on=False)

    def _go_on(self) -> None:
        room = AHEAD - len(self._unechoed)
        if room > 0 and self._queue:
            chunk = bytes(self._queue[:room])
            del self._queue[:room]
            # Arrows and other keys with an effect have no echo of their own.
            self._unechoed += bytes(byte for byte in chunk if 0x20 <= byte < 0x7F or byte == _RETURN)
            self._write(chunk)
        self._set_timer(on=bool(self._unechoed or self._queue))
        self._less_waits()

    def _set_timer(self, *, on: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._patience, self._on_silence) if on else None

    def _on_silence(self) -> None:
        self._patience = min(self._patience * 2, _LONGEST_PATIENCE)
        self._unechoed.clear()
        self._go_on()
