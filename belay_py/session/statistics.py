"""What a session has done, counted: plain numbers on one object, since this is on the way of every operation."""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from belay_py.errors import BelayError, ProtocolViolation, SessionClosed
from belay_py.session.about import About
from belay_py.text import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# From a board that answers at once (some 200 µs) to the default deadline.
_BOUNDS: Final = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_LONGEST_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """What a session has done since it was made. Durations are seconds; the numbers never fall.

    An operation is one execution, evaluation, stream or reset that began on the board; one that was refused before
    (the session was not connected, or busy until the deadline) is none. What `evaluate` sends besides is not counted
    either, but for its bytes.
    """

    BOUNDS: ClassVar[tuple[float, ...]] = _BOUNDS
    """Of `durations`: its nth number counts operations of up to so many seconds, its last one those beyond."""

    operations: int
    errors: int
    """Operations that raised, cancelled ones included."""
    failures: Mapping[str, int]
    """How many raised what: by the names of our errors, ``CancelledError``, and ``other`` for what is none of these."""
    bytes_sent: int
    bytes_received: int
    connects: int
    link_errors: int
    """Links that were lost, and answers that were not the raw REPL's."""
    duration: float
    """Of all operations together."""
    durations: tuple[int, ...]
    """How many operations took how long: see `BOUNDS`."""
    last_error: str | None
    """Class and message of what the latest operation that failed raised."""
    round_trip: float | None
    """What the question about the board took at the latest connect: 1 KB of code and its answer."""
    connected_since: datetime | None
    """In UTC; None while the session is not connected."""
    uptime: float
    """How long it has been connected; 0 while it is not."""


def nothing() -> SessionStatistics:
    """Return the numbers of a session that has done nothing."""
    return Counters().snapshot(connected=False)


def added(first: SessionStatistics, *later: SessionStatistics) -> SessionStatistics:
    """Return the numbers of several sessions together; what is of one moment is the last one's."""
    each = (first, *later)
    kinds = dict.fromkeys(kind for one in each for kind in one.failures)
    latest = each[-1]
    return SessionStatistics(
        operations=sum(one.operations for one in each),
        errors=sum(one.errors for one in each),
        failures=MappingProxyType({kind: sum(one.failures.get(kind, 0) for one in each) for kind in kinds}),
        bytes_sent=sum(one.bytes_sent for one in each),
        bytes_received=sum(one.bytes_received for one in each),
        connects=sum(one.connects for one in each),
        link_errors=sum(one.link_errors for one in each),
        duration=sum(one.duration for one in each),
        durations=tuple(map(sum, zip(*(one.durations for one in each), strict=True))),
        last_error=next((one.last_error for one in reversed(each) if one.last_error is not None), None),
        round_trip=next((one.round_trip for one in reversed(each) if one.round_trip is not None), None),
        connected_since=latest.connected_since,
        uptime=latest.uptime,
    )


class Counters:
    """The numbers behind `SessionStatistics`, and a line about them at the end."""

    __slots__ = (
        "_buckets", "_connected_at", "_connected_since", "_made_at", "about", "bytes_received", "bytes_sent",
        "connects", "duration", "errors", "failures", "last_error", "link_errors", "operations", "round_trip",
    )  # fmt: skip

    def __init__(self) -> None:
        self.about = About()
        """Whose they are, for the log."""
        self.operations = 0
        self.errors = 0
        self.failures: dict[str, int] = {}
        self.bytes_sent = 0
        self.bytes_received = 0
        self.connects = 0
        self.link_errors = 0
        self.duration = 0.0
        self.last_error: str | None = None
        self.round_trip: float | None = None
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._made_at = time.monotonic()
        self._connected_at = 0.0
        self._connected_since: datetime | None = None

    def ended(self, duration: float) -> None:
        """Count an operation."""
        self.operations += 1
        self.duration += duration
        self._buckets[bisect_left(_BOUNDS, duration)] += 1

    def failed(self, duration: float, error: BaseException) -> None:
        """Count an operation that raised."""
        self.ended(duration)
        self.errors += 1
        outcome = outcome_of(error)
        self.failures[outcome] = self.failures.get(outcome, 0) + 1
        self.link_errors += isinstance(error, ProtocolViolation)
        self.last_error = short(f"{type(error).__name__}: {error}".removesuffix(": "), _LONGEST_TEXT)

    @contextlib.contextmanager
    def operation(self) -> Iterator[None]:
        """Count what runs inside as one operation, unless it was refused."""
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:  # it goes on
            if not isinstance(error, SessionClosed) and getattr(error, "outcome", None) != "not_started":
                self.failed(time.perf_counter() - started, error)
            raise
        self.ended(time.perf_counter() - started)

    def connected(self, round_trip: float) -> None:
        """Count a connection."""
        self.connects += 1
        self.round_trip = round_trip
        self._connected_at = time.monotonic()
        self._connected_since = datetime.now(UTC)

    def snapshot(self, *, connected: bool) -> SessionStatistics:
        """Return the numbers as they are now."""
        return SessionStatistics(
            operations=self.operations,
            errors=self.errors,
            failures=MappingProxyType(dict(self.failures)),
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            connects=self.connects,
            link_errors=self.link_errors,
            duration=self.duration,
            durations=tuple(self._buckets),
            last_error=self.last_error,
            round_trip=self.round_trip,
            connected_since=self._connected_since if connected else None,
            uptime=time.monotonic() - self._connected_at if connected else 0.0,
        )

    def __str__(self) -> str:
        return (
            f"it lived for {time.monotonic() - self._made_at:.1f} s: {self.connects} connects, "
            f"{self.operations} operations, {self.errors} errors, "
            f"{self.bytes_sent} bytes sent, {self.bytes_received} received"
        )


def outcome_of(error: BaseException | None) -> str:
    """Name how an operation ended, by one of a few words: ``ok``, one of our errors, ``CancelledError`` or ``other``.

    For labels of metrics, of which there must be few: what users' own callbacks raise is ``other``.
    """
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError):
        return "CancelledError"
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == BelayError.__module__), "other")
