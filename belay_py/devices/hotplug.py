"""When a board that was away is there again: looks, one after the other, and what their sequence means."""

from __future__ import annotations

from typing import Final

SETTLE: Final = 0.3
"""Seconds for which a board has to be there before it counts: a new port is not ready, since udev sets its permissions
after it appeared, and a plug that is pushed in makes contact several times."""
_ROUNDING: Final = 1e-6  # a look that is due at once may come an instant early by the clock


class Arrival:
    """Tells the arrivals of one board from looks at where it is, see `Whereabouts.trace`.

    The first look says only what there was before. A board arrives when it is somewhere where it was not at the look
    before, and still is there `SETTLE` seconds later; once.
    """

    def __init__(self) -> None:
        self._known = False
        self._settled: str | None = None
        self._new: str | None = None
        self._since = 0.0

    @property
    def is_near(self) -> bool:
        """Whether something is there that has not settled yet."""
        return self._new is not None

    def seen(self, trace: str | None, now: float) -> bool:
        """Take one look into account; return whether the board has arrived."""
        if not self._known:
            self._known, self._settled = True, trace
            return False
        if trace is None or trace == self._settled:
            self._settled, self._new = trace, None
            return False
        if trace != self._new:
            self._new, self._since = trace, now
        if now - self._since < SETTLE - _ROUNDING:
            return False
        self._settled, self._new = trace, None
        return True
