"""Pins, analogue inputs and the chip's registers: set by the host, seen by the board's ``machine`` module, and back.

The two sides meet in small text files below ``/rom/hw``, as in Linux's sysfs: ``pin/5``, ``adc/26``, ``freq``.
"""

from __future__ import annotations

import errno
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PULL_UP = 1
_PWRON_RESET = 1


@dataclass(slots=True)
class _Pin:
    output: bool = False
    pull: int = 0
    driven: int = 0
    applied: int | None = None
    """The level the host applies from outside; None leaves an input to its pull resistor."""

    @property
    def level(self) -> int:
        if self.output:
            return self.driven
        if self.applied is not None:
            return self.applied
        return int(self.pull == _PULL_UP)


class Hardware:
    """What is soldered around the interpreter. Pins are named by number or by text, as on boards."""

    def __init__(self, unique_id: bytes, *, on_reset: Callable[[], None]) -> None:
        self.unique_id = unique_id
        self._on_reset = on_reset
        self._lock = threading.Lock()
        self._pins: dict[str, _Pin] = {}
        self._adc: dict[str, int] = {}
        self._freq = 125_000_000
        self._cause = _PWRON_RESET
        self._clock_offset = 0.0

    def clock(self) -> float:
        """The real-time clock, in seconds since 1970: the host's in UTC, until the program sets it."""
        return time.time() + self._clock_offset

    def set_pin(self, pin: str, level: int) -> None:
        """Apply a level to a pin from outside."""
        with self._lock:
            self._pins.setdefault(pin, _Pin()).applied = level

    def set_adc(self, channel: str, value: int) -> None:
        """Apply a voltage to a channel, as the 16-bit reading it gives."""
        with self._lock:
            self._adc[channel] = value

    def pin(self, pin: str) -> int | None:
        """Tell the level that the program drives; None while the pin is not an output."""
        with self._lock:
            state = self._pins.get(pin)
            return state.driven if state is not None and state.output else None

    def restart(self, cause: int) -> None:
        """Put the board's own side back to what it is after a reset. What the host applies stays."""
        with self._lock:
            self._cause = cause
            self._freq = 125_000_000
            if cause == _PWRON_RESET:  # resets leave a clock running, as on most chips
                self._clock_offset = 0.0
            for state in self._pins.values():
                state.output, state.pull, state.driven = False, 0, 0

    def read(self, file: str) -> str:
        """Answer the board's read of ``/rom/hw/`` + `file`."""
        with self._lock:
            match file.split("/"):
                case ["unique_id"]:
                    return self.unique_id.hex()
                case ["freq"]:
                    return str(self._freq)
                case ["reset_cause"]:
                    return str(self._cause)
                case ["rtc"]:
                    return str(round(self.clock() * 1e6))
                case ["pin", name]:
                    return str(self._pins.setdefault(name, _Pin()).level)
                case ["adc", channel]:
                    return str(self._adc.get(channel, 0))
        raise OSError(errno.ENOENT, file)

    def write(self, file: str, text: str) -> None:
        """Take the board's write to ``/rom/hw/`` + `file`."""
        with self._lock:
            match file.split("/"):
                case ["freq"]:
                    self._freq = int(text)
                case ["pin", name]:
                    self._pins.setdefault(name, _Pin()).driven = int(text)
                case ["mode", name]:
                    state = self._pins.setdefault(name, _Pin())
                    output, pull = text.split()
                    state.output, state.pull = output == "1", int(pull)
                case ["rtc"]:
                    self._clock_offset = int(text) / 1e6 - time.time()
                case ["reset"]:
                    pass
                case _:
                    raise OSError(errno.ENOENT, file)
        if file == "reset":
            self._on_reset()
