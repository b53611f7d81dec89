"""What can be set for one session. Plain dataclasses, so that importing a session loads no settings machinery."""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from belay_py.errors import SettingsError

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
    """``marked``: no output can be mistaken for the end of a response, for 11 bytes an execution. ``plain`` saves them,
    on a slow wire, for code that never prints ``\\x04``."""
    chunk: int = 256
    """Bytes of code between two pauses, for boards without raw-paste. 32 suits the smallest ones."""
    pace: float = 0.01
    """Seconds of such a pause."""

    def __post_init__(self) -> None:
        if self.framing not in ("marked", "plain"):
            raise SettingsError(f'communication.framing is {self.framing!r}; it must be "marked" or "plain"')
        if self.profile is not None:
            check_profile(self.profile)
        if self.chunk < 1:
            raise SettingsError(f"communication.chunk is {self.chunk}; it must be at least 1 byte")
        _require_seconds("communication.pace", self.pace, zero=True)


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
        if not isinstance(self.port, str):
            raise SettingsError(f"port is {self.port!r}; it must be text, a path or a URL")
        if not self.port:
            raise SettingsError('port is empty; name one, such as "/dev/ttyACM0", or use "virtual:"')
        if not isinstance(self.baudrate, int) or self.baudrate < 1:
            raise SettingsError(f"baudrate is {self.baudrate!r}; it must be positive, 115200 on most boards")
        if self.trace is not None and not (isinstance(self.trace, str | os.PathLike) and os.fspath(self.trace)):
            raise SettingsError(f"trace is {self.trace!r}; it must be the path of a file, or None")
        for name in ("connection_timeout", "operation_timeout", "recovery_timeout"):
            _require_seconds(name, getattr(self, name))
        if math.isinf(self.recovery_timeout):
            raise SettingsError("recovery_timeout is inf; it must be a finite number of seconds")

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


def _require_seconds(name: str, value: float, *, zero: bool = False) -> None:
    if not isinstance(value, int | float) or math.isnan(value) or value < 0 or (value == 0 and not zero):
        raise SettingsError(
            f"{name} is {value!r}; it must be a number of seconds {'of at least' if zero else 'above'} 0"
        )
