"""What becomes of an operation that fails, and how many there may be. Pure: time and chance are arguments."""

from belay_py.policies.breaker import CircuitBreaker
from belay_py.policies.rate_limits import FixedWindow, RateLimit, SlidingWindow, TokenBucket
from belay_py.policies.retries import backoff, may_retry, verdict

__all__ = [
    "CircuitBreaker",
    "FixedWindow",
    "RateLimit",
    "SlidingWindow",
    "TokenBucket",
    "backoff",
    "may_retry",
    "verdict",
]
