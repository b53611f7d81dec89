"""How much goes in one execution: little enough for its deadline, much enough that round trips do not count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from belay_py.options import DeviceSessionOptions

_BITS: Final = 10  # on the wire, per byte
_LEAST: Final = 256
_FIRST_SHARE: Final = 16
"""Which part of ``operation_timeout`` the first execution takes if the link is as fast as its baudrate says."""
_SHARE: Final = 4
"""Which part the following ones take, by the speed that was seen."""
_SLOWEST_HASH: Final = 20e-6
"""Seconds per byte in which any board hashes a file; checksums in Python take the longest."""


class Pace:
    """Bytes per execution, of which there are never more than ``most``."""

    def __init__(self, options: DeviceSessionOptions, most: int) -> None:
        self._patience = min(options.operation_timeout, 60.0)
        self._most = most
        self._limit = 1 << 62
        self.size = self._within(options.baudrate / _BITS * self._patience / _FIRST_SHARE)

    def seen(self, size: int, seconds: float, most: int | None = None) -> None:
        """Note how long the latest execution took; ``most`` is the new limit, if that changes."""
        self._most = min(most or self._most, self._limit)
        self.size = self._within(size / max(seconds, 1e-6) * self._patience / _SHARE)

    def halve(self) -> bool:
        """Go on with half as much, and no more from now on; return whether that is enough to be worth it."""
        self._limit = self.size = self.size // 2
        return self.size >= _LEAST // 2

    def _within(self, size: float) -> int:
        return int(max(min(size, self._most), min(_LEAST, self._most)))


def patience(options: DeviceSessionOptions, size: int) -> float:
    """Return how many seconds an execution may take in which the board hashes ``size`` bytes."""
    return options.operation_timeout + size * _SLOWEST_HASH
