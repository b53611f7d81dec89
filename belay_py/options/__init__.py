"""What can be set, with defaults and checks. Durations are seconds; `belay_py.settings` reads them from files."""

from belay_py.options.checks import (
    check_device_id,
    check_function,
    check_path,
    check_text,
    one_of,
    require,
)
from belay_py.options.communication import PROFILES, CommunicationOptions, check_profile
from belay_py.options.manager import DeviceSessionManagerOptions
from belay_py.options.policies import CircuitBreakerOptions, RateLimitOptions, RetryOptions
from belay_py.options.session import RESETS, DeviceSessionOptions, ResetAtConnect, as_tags

__all__ = [
    "PROFILES",
    "RESETS",
    "CircuitBreakerOptions",
    "CommunicationOptions",
    "DeviceSessionManagerOptions",
    "DeviceSessionOptions",
    "RateLimitOptions",
    "ResetAtConnect",
    "RetryOptions",
    "as_tags",
    "check_device_id",
    "check_function",
    "check_path",
    "check_profile",
    "check_text",
    "one_of",
    "require",
]
