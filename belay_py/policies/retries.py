"""Which failures may be tried again, when, and which ones are the board's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from belay_py.errors import (
    BoardWasReset,
    CircuitOpen,
    ConnectionFailed,
    DeviceNotFound,
    Disconnected,
    ExecutionError,
    IdentityChanged,
    OutcomeUnknown,
    ProtocolViolation,
    RateLimited,
    SessionTimeout,
    TooManyWaiters,
    UnexpectedValue,
    ValueNotSupported,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES: Final = (
    SessionTimeout, OutcomeUnknown, Disconnected, BoardWasReset, ProtocolViolation, ConnectionFailed, DeviceNotFound,
)  # fmt: skip
"""What happens for the link's or the board's sake."""
_ANSWERS: Final = (ExecutionError, UnexpectedValue, ValueNotSupported)
"""What a board that is well says, of code or a value that is not."""
_FINAL: Final = (ExecutionError, CircuitOpen, RateLimited, TooManyWaiters, IdentityChanged)
"""Nothing of the code ran, mostly; and yet the same again would end in the same, or add to what is too much."""
_FOR_IDEMPOTENT: Final = (SessionTimeout, OutcomeUnknown, Disconnected, BoardWasReset, ProtocolViolation)
_LONGEST_EXPONENT: Final = 1000  # 2.0 ** 1024 overflows


def backoff(attempt: int, base: float, cap: float, random: Callable[[], float]) -> float:
    """Return how many seconds to wait after a failed attempt, counted from 0: full jitter.

    The time is evenly spread over 0 to ``base`` x 2 ** ``attempt``, or to ``cap`` where that is less, so that many who
    failed together do not come back together. ``random`` returns numbers from 0 to 1, as `random.random` does.
    """
    return min(cap, base * 2.0 ** min(attempt, _LONGEST_EXPONENT)) * random()


def may_retry(error: BaseException, *, idempotent: bool) -> bool:
    """Whether an operation that ended in ``error`` may be tried again.

    It may where its code provably did not start, or where the caller called it ``idempotent`` and it failed for the
    link's or the board's sake. After a restart of the board it needs the caller's word even if it did not start: the
    variables are gone that it may have been written for.
    """
    if isinstance(error, _FINAL):
        return False
    if idempotent and isinstance(error, _FOR_IDEMPOTENT):
        return True
    return getattr(error, "outcome", None) == "not_started" and not isinstance(error, BoardWasReset)


def verdict(error: BaseException) -> bool | None:
    """What a failed operation says of the board: True that it is well, False that it or its link is not, None nothing.

    Nothing say the caller's bugs, cancellations, and a deadline that passed before the code was sent while the board
    was at its prompt: the time went to other operations.
    """
    if isinstance(error, _ANSWERS):
        return True
    if isinstance(error, SessionTimeout) and error.outcome == "not_started" and error.recovered:
        return None
    return False if isinstance(error, _FAILURES) else None
