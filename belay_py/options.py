"""What can be set for one session. Plain dataclasses, so that importing a session loads no settings machinery."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from belay_py.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROFILES: Final = ("generic", "esp-bridge", "esp-usb", "cdc")
"""What ``communication.profile`` may name; `belay_py.devices.profiles` says what each means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommunicationOptions:
    """How bytes travel."""

    exclusive: bool = True
    """Refuse a port that another process has opened, and keep others out."""
    profile: str | None = None
    """How the board takes DTR and RTS, one of `PROFILES`; None goes by the USB numbers of its port."""
    dtr: bool | None = None
    """The line DTR while the port is open, whatever the profile says; None leaves it to the profile."""
    rts: bool | None = None
    """The line RTS, the same."""
    framing: Literal["marked", "plain"] = "marked"
    """``marked``: no output can be mistaken for the end of a response, for 16 bytes an execution. ``plain`` saves them,
    on a slow wire, for code that never prints ``\\x04``."""
    chunk: int = 256
    """Bytes of code between two pauses, for boards without raw-paste. 32 suits the smallest ones."""
    pace: float = 0.01
    """Seconds of such a pause."""

    def __post_init__(self) -> None:
        if self.profile is not None:
            check_profile(self.profile)
        _check(self, _OF_COMMUNICATION, "communication.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSessionOptions:
    """One session's options. Durations are seconds.

    ``port`` is a path (``/dev/ttyACM0``, ``COM3``) or a URL: ``virtual:``, ``usb:VID:PID:SERIAL``,
    ``socket://host:port``, ``rfc2217://host:port``, ``process:COMMAND``.
    """

    port: str
    baudrate: int = 115200
    connection_timeout: float = 30.0
    """For opening the port, the handshake and the questions about the board, together."""
    operation_timeout: float = 10.0
    """For each operation that names no timeout of its own."""
    recovery_timeout: float = 5.0
    """For stopping the board and bringing it back into step after a deadline or a cancellation."""
    reset_when_stuck: bool = False
    """When a program catches Ctrl-C, restart the chip by the lines of its port, where the board's profile knows how."""
    communication: CommunicationOptions = field(default_factory=CommunicationOptions)
    trace: str | os.PathLike[str] | None = None
    """A file to which every byte on the wire is written, with its time: see `belay_py.transports.tracing`."""

    def __post_init__(self) -> None:
        if self.port == "":
            raise SettingsError('port is empty; name one, such as "/dev/ttyACM0", or use "virtual:"')
        _check(self, _OF_SESSION)

    @classmethod
    def build(cls, port: str | DeviceSessionOptions, overrides: dict[str, Any]) -> DeviceSessionOptions:
        """Return options from a port or other options, with keyword arguments on top.

        Raises `SettingsError` for a name that is no option, with the nearest right one.
        """
        known = [item.name for item in dataclasses.fields(cls)]
        for name in overrides:
            if name not in known:
                # "timeout" is nearest to another one, and this is what its writers mean.
                near = ["operation_timeout"] if name == "timeout" else difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(known)}"
                raise SettingsError(f"there is no option {name!r}; {hint}")
        if isinstance(port, DeviceSessionOptions):
            return dataclasses.replace(port, **overrides)
        return cls(port=port, **overrides)


def check_profile(name: str) -> None:
    """Refuse a name that is not in `PROFILES`. Raises `SettingsError` with the nearest right one."""
    if name not in PROFILES:
        near = difflib.get_close_matches(str(name), PROFILES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it must be one of {', '.join(PROFILES)}, or None"
        raise SettingsError(f"communication.profile is {name!r}; {hint}")


def check_text(name: str, value: str | None) -> None:
    """Refuse what is neither text nor None. Raises `SettingsError`."""
    _require(name, value, _TEXT)


def check_path(name: str, value: str | os.PathLike[str] | None) -> None:
    """Refuse what is neither a path nor None. Raises `SettingsError`."""
    _require(name, value, _PATH)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)  # True is an int, and a slip as a duration


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_line(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_path(value: Any) -> bool:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    return isinstance(path, str) and path != ""  # a PathLike may stand for bytes


# What a value must be, as a test and in words.
_Rule: TypeAlias = "tuple[Callable[[Any], bool], str]"
_TEXT: Final[_Rule] = (lambda value: value is None or isinstance(value, str), "text, or None")
_PATH: Final[_Rule] = (lambda value: value is None or _is_path(value), "the path of a file, or None")
_OF_COMMUNICATION: Final[Mapping[str, _Rule]] = {
    "exclusive": (_is_switch, "True or False"),
    "dtr": (_is_line, "True, False or None"),
    "rts": (_is_line, "True, False or None"),
    "framing": (lambda value: value in ("marked", "plain"), '"marked" or "plain"'),
    "chunk": (_is_count, "a whole number of bytes, at least 1"),
    "pace": (
        lambda value: _is_number(value) and 0 <= value <= sys.float_info.max,
        "a number of seconds of at least 0, and finite",
    ),
}
_OF_SESSION: Final[Mapping[str, _Rule]] = {
    "port": (lambda value: isinstance(value, str), "text, a path or a URL"),
    "baudrate": (_is_count, "a whole number above 0, 115200 on most boards"),
    "connection_timeout": (_is_seconds, "a number of seconds above 0"),
    "operation_timeout": (_is_seconds, "a number of seconds above 0"),
    "recovery_timeout": (
        lambda value: _is_seconds(value) and value <= sys.float_info.max,
        "a number of seconds above 0, and finite",
    ),
    "reset_when_stuck": (_is_switch, "True or False"),
    "communication": (lambda value: isinstance(value, CommunicationOptions), "CommunicationOptions(...)"),
    "trace": _PATH,
}


def _check(options: object, rules: Mapping[str, _Rule], prefix: str = "") -> None:
    for name, rule in rules.items():
        _require(prefix + name, getattr(options, name), rule)


def _require(name: str, value: object, rule: _Rule) -> None:
    fits, wanted = rule
    if not fits(value):
        raise SettingsError(f"{name} is {value!r}; it must be {wanted}")
