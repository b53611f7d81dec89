"""What can be set for one session. Plain dataclasses, so that importing a session loads no settings machinery."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from belay_py.errors import SettingsError
from belay_py.options.checks import (
    DELAY,
    FINITE,
    PATH,
    SECONDS,
    SWITCH,
    WHOLE,
    check,
    check_names,
    instance_of,
    is_count,
    one_of,
    or_none,
)
from belay_py.options.communication import CommunicationOptions
from belay_py.options.nesting import built
from belay_py.options.policies import CircuitBreakerOptions, RateLimitOptions, RetryOptions
from belay_py.text import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from belay_py.options.checks import Rule

ResetAtConnect: TypeAlias = Literal["never", "soft", "hard"]
RESETS: Final[tuple[ResetAtConnect, ...]] = get_args(ResetAtConnect)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSessionOptions:
    """One session's options. Durations are seconds.

    ``port`` is a path (``/dev/ttyACM0``, ``COM3``) or a URL: ``virtual:``, ``usb:VID:PID:SERIAL``,
    ``socket://host:port``, ``rfc2217://host:port``, ``process:COMMAND``.

    Those from ``idle_timeout`` to ``tags`` are for sessions of a `DeviceSessionManager`.
    """

    port: str
    """Where the board is."""
    baudrate: int = 115200
    """The rate of a serial port, in bit/s; native USB ignores it."""
    connection_timeout: float = 30.0
    """For opening the port, the handshake and the questions about the board, together."""
    operation_timeout: float = 10.0
    """For each operation that names no timeout of its own."""
    recovery_timeout: float = 5.0
    """For stopping the board and bringing it back into step after a deadline or a cancellation."""
    reset: ResetAtConnect = "never"
    """Whether a board is restarted when it is connected to, also again: ``soft`` its interpreter, ``hard`` its chip."""
    reset_when_stuck: bool = False
    """When a program catches Ctrl-C, restart the chip by the lines of its port, where the board's profile knows how."""
    retry: RetryOptions | None = None
    """Whether operations are tried again; None: never."""
    rate_limit: RateLimitOptions | None = None
    """How many operations may begin in a time; None: any number."""
    circuit_breaker: CircuitBreakerOptions | None = None
    """Whether operations are refused after several that failed in a row; None: never."""
    idle_timeout: float = 300.0
    """Unused for so long, the port is closed, and opened again by the next use. ``math.inf``: never."""
    max_lifetime: float | None = None
    """Open for so long, less up to a tenth by chance, the port is closed, between two leases."""
    enable_auto_reconnect: bool = True
    """Whether a lost link is made again without being asked for."""
    max_reconnect_attempts: int = 3
    """How often that is tried."""
    reconnect_delay: float = 1.0
    """Attempt n comes after a random time of up to ``reconnect_delay`` x 2 ** (n - 1)."""
    max_reconnect_delay: float = 30.0
    """What such a time never exceeds."""
    enable_heartbeat: bool = True
    """Whether a board that nobody uses is asked for a sign of life."""
    heartbeat_interval: float = 30.0
    """How often."""
    enable_health_checks: bool = True
    """Whether a board that nobody uses is asked how it is: heap, room for files, errors of its link."""
    health_check_interval: float = 60.0
    """How often."""
    check_after: float = 5.0
    """A lease begins with a sign of life from the board when the latest one is older than this."""
    checkin: Literal["leave", "interrupt", "soft_reset"] = "interrupt"
    """What becomes of the board at the end of a lease: code that still runs is waited for (``leave``) or stopped
    (``interrupt``); ``soft_reset`` gives the next owner a fresh interpreter."""
    pinned: bool = False
    """Never closed to make room for another, or for being idle."""
    tags: frozenset[str] = frozenset()
    """What a lease may ask for instead of a name."""
    communication: CommunicationOptions = field(default_factory=CommunicationOptions)
    """How bytes travel."""
    trace: str | os.PathLike[str] | None = None
    """A file to which every byte on the wire is written, with its time: see `belay_py.transports.tracing`."""

    def __post_init__(self) -> None:
        if self.port == "":
            raise SettingsError('port is empty; name one, such as "/dev/ttyACM0", or use "virtual:"')
        object.__setattr__(self, "tags", as_tags(self.tags))
        check(self, _RULES)

    @classmethod
    def build(cls, port: str | DeviceSessionOptions | None, overrides: Mapping[str, Any]) -> DeviceSessionOptions:
        """Return options from a port or other options, with keyword arguments on top.

        ``communication``, ``retry``, ``rate_limit`` and ``circuit_breaker`` may be mappings of their fields; those that
        a mapping does not name stay as they are. Raises `SettingsError` for a name that is no option, with the nearest
        right one, and then without a port.
        """
        known = [item.name for item in dataclasses.fields(cls)]
        # "timeout" is nearest to another one, and this is what its writers mean.
        check_names(overrides, known, means={"timeout": "operation_timeout"})
        if isinstance(port, DeviceSessionOptions):
            return dataclasses.replace(port, **built(overrides, port))
        if port is None:
            raise SettingsError('the session has no port; name one, such as "/dev/ttyACM0", or use "virtual:"')
        return cls(port=port, **built(overrides))


def as_tags(tags: Iterable[str]) -> frozenset[str]:
    """Return any collection of names as a set. Raises `SettingsError`, above all for text, which is one of letters."""
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise SettingsError(f"tags is {shown(tags)}; it must be a set of names, such as {{'pico', 'left'}}")
    found = list(tags)
    for tag in found:
        if not isinstance(tag, str) or not tag:
            raise SettingsError(f"tags has {shown(tag)} in it; each must be a name")
    return frozenset(found)


_RULES: Final[Mapping[str, Rule]] = {
    "port": (lambda value: isinstance(value, str), "text, a path or a URL"),
    "baudrate": (is_count, "a whole number above 0, 115200 on most boards"),
    "connection_timeout": SECONDS,
    "operation_timeout": SECONDS,
    "recovery_timeout": FINITE,
    "reset": one_of(*RESETS),
    "reset_when_stuck": SWITCH,
    "retry": or_none(instance_of(RetryOptions)),
    "rate_limit": or_none(instance_of(RateLimitOptions)),
    "circuit_breaker": or_none(instance_of(CircuitBreakerOptions)),
    "idle_timeout": SECONDS,
    "max_lifetime": or_none(SECONDS),
    "enable_auto_reconnect": SWITCH,
    "max_reconnect_attempts": WHOLE,
    "reconnect_delay": DELAY,
    "max_reconnect_delay": DELAY,
    "enable_heartbeat": SWITCH,
    "heartbeat_interval": FINITE,
    "enable_health_checks": SWITCH,
    "health_check_interval": FINITE,
    "check_after": DELAY,
    "checkin": one_of("leave", "interrupt", "soft_reset"),
    "pinned": SWITCH,
    "communication": instance_of(CommunicationOptions),
    "trace": PATH,
}
