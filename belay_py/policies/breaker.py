"""A circuit breaker: after failures in a row nothing is let through for a while, and then one operation as a trial."""

from __future__ import annotations

from typing import Literal


class CircuitBreaker:
    """Closed, open, half-open. ``failures`` in a row open it, ``reset_after`` seconds later a trial is let through.

    Whoever is let through gets a ticket, and says with it how that ended. Tickets from before the latest change of
    state say nothing any more: an operation that was on its way when the circuit opened decides nothing.
    """

    __slots__ = ("_failed", "_failures", "_reset_after", "_ticket", "_trial", "_until")

    def __init__(self, failures: int, reset_after: float) -> None:
        self._failures = failures
        self._reset_after = reset_after
        self._failed = 0
        self._until: float | None = None
        """When a trial is due; None while the circuit is closed."""
        self._trial = False
        """Whether a trial is under way."""
        self._ticket = 0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """``"half-open"`` is only while a trial is under way."""
        if self._until is None:
            return "closed"
        return "half-open" if self._trial else "open"

    def begin(self, now: float) -> int | None:
        """Ask to be let through; return a ticket, or None for no."""
        if self._until is not None:
            if self._trial or now < self._until:
                return None
            self._trial = True
            self._ticket += 1
        return self._ticket

    def retry_after(self, now: float) -> float:
        """How many seconds are left until a trial is due; 0 also while one is under way."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def knows(self, ticket: int) -> bool:
        """Whether a ticket still lets through: nothing has changed since it was given."""
        return ticket == self._ticket

    def succeeded(self, ticket: int) -> None:
        """The board answered: the circuit is closed."""
        if ticket == self._ticket:
            self._failed = 0
            if self._trial:
                self._until = None
                self._trial = False
                self._ticket += 1

    def failed(self, ticket: int, now: float) -> None:
        """The board or its link failed. A trial that fails opens the circuit for as long again."""
        if ticket != self._ticket:
            return
        self._failed += 1
        if self._trial or self._failed >= self._failures:
            self._until = now + self._reset_after
            self._trial = False
            self._failed = 0
            self._ticket += 1

    def cancelled(self, ticket: int) -> None:
        """The operation ended without a word about the board; if it was the trial, the next one may be it."""
        if ticket == self._ticket and self._trial:
            self._trial = False
            self._ticket += 1
