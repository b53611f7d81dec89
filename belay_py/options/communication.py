"""How bytes travel between a session and its board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from belay_py.errors import SettingsError
from belay_py.options.checks import DELAY, SWITCH, check, is_count, one_of, or_none
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.options.checks import Rule

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
    integrity: bool = False
    """For noisy wires: the board checks code before it runs any of it, and results come back with a checksum. Costs a
    third more bytes of code, some 70 bytes an execution, and memory for the code twice."""
    chunk: int = 256
    """Bytes of code between two pauses, for boards without raw-paste. 32 suits the smallest ones."""
    pace: float = 0.01
    """Seconds of such a pause."""

    def __post_init__(self) -> None:
        if self.profile is not None:
            check_profile(self.profile)
        check(self, _RULES, "communication.")


_RULES: Final[Mapping[str, Rule]] = {
    "exclusive": SWITCH,
    "dtr": or_none(SWITCH),
    "rts": or_none(SWITCH),
    "framing": one_of("marked", "plain"),
    "integrity": SWITCH,
    "chunk": (is_count, "a whole number of bytes, at least 1"),
    "pace": DELAY,
}


def check_profile(name: str) -> None:
    """Refuse a name that is not in `PROFILES`. Raises `SettingsError` with the nearest right one."""
    if name not in PROFILES:
        hint = did_you_mean(name, PROFILES, "None, or one of")
        raise SettingsError(f"communication.profile is {name!r}; {hint}")
