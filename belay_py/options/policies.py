"""What becomes of an operation that fails, and how many there may be. `belay_py.policies` acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from belay_py.options.checks import COUNT, DELAY, FINITE, SWITCH, check, is_count, is_number, one_of, or_none

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.options.checks import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """How often an operation is tried that provably did not start, or that its caller called idempotent."""

    max_attempts: int = 3
    """The first one included."""
    delay: float = 0.1
    """Seconds: attempt n + 1 comes after a random time of up to ``delay`` x 2 ** (n - 1)."""
    max_delay: float = 5.0
    """Seconds that such a time never exceeds."""

    def __post_init__(self) -> None:
        check(self, _OF_RETRY, "retry.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitOptions:
    """How many operations may begin in a time."""

    kind: Literal["token_bucket", "fixed_window", "sliding_window"] = "token_bucket"
    """How the operations of a ``period`` are counted: see `belay_py.policies`."""
    operations: int | None = None
    """How many in a ``period``; None takes what the board was measured to bear."""
    period: float = 1.0
    """Seconds."""
    burst: int | None = None
    """How many a token bucket that is full lets pass at once; None: as many as ``operations``."""
    wait: bool = True
    """Whether an operation waits for its time, up to its deadline, or raises `RateLimited` at once."""

    def __post_init__(self) -> None:
        check(self, _OF_RATE_LIMIT, "rate_limit.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerOptions:
    """When operations are refused, because those before them failed for the board's or the link's sake."""

    failures: int = 5
    """How many in a row open the circuit."""
    reset_after: float = 30.0
    """Seconds until one operation is let through as a trial."""

    def __post_init__(self) -> None:
        check(self, _OF_BREAKER, "circuit_breaker.")


# Beyond these the arithmetic of a limit would overflow, or round all it counts away.
_RATE: Final[Rule] = (lambda value: is_count(value) and value <= 10**9, "a whole number from 1 to 1000000000")
_PERIOD: Final[Rule] = (
    lambda value: is_number(value) and 1e-6 <= value <= 1e9,
    "a number of seconds from 0.000001 to 1000000000",
)
_OF_RETRY: Final[Mapping[str, Rule]] = {"max_attempts": COUNT, "delay": DELAY, "max_delay": DELAY}
_OF_RATE_LIMIT: Final[Mapping[str, Rule]] = {
    "kind": one_of("token_bucket", "fixed_window", "sliding_window"),
    "operations": or_none(_RATE),
    "period": _PERIOD,
    "burst": or_none(_RATE),
    "wait": SWITCH,
}
_OF_BREAKER: Final[Mapping[str, Rule]] = {"failures": COUNT, "reset_after": FINITE}
