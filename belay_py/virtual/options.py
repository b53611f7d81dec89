"""What can be chosen about a virtual board, and the URL that says it."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass
from typing import Any, Literal

from belay_py.errors import DeviceNotFound, SettingsError

SCHEME = "virtual:"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualBoardOptions:
    """A board as it is built. Sizes are bytes; a value out of range raises `SettingsError`."""

    folder: str | os.PathLike[str] | None = None
    """A folder of the host that holds the board's files; None keeps them in memory."""
    window: int = 128
    """What one credit of raw-paste grants."""
    raw_paste: Literal["on", "refused", "absent"] = "on"
    """``refused``: answers ``R\\x00``. ``absent``: firmware from before raw-paste, which answers with its banner."""
    ring: int = 260
    """The receive ring."""
    overrun: Literal["stall", "drop"] = "stall"
    """A full ring stalls the sender, as USB does, or loses bytes, as a UART does. Ctrl-C clears it on USB only."""
    memory: int = 32 << 20
    """The size of MicroPython's heap. Garbage is collected between executions, not within one."""
    storage: int = 16 << 20
    """The size of the file system in memory."""
    unique_id: bytes | None = None
    """``machine.unique_id()``; None derives one from the board's name."""
    keeps_power: bool = False
    """Whether the program runs on while the board is unplugged, on a supply of its own."""
    reset_drops_link: bool = False
    """Whether a hard reset cuts the wire, as a chip with native USB does."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("window", 1, 32767), ("ring", 2, 1 << 20), ("memory", 64 << 10, 1 << 30), ("storage", 0, 1 << 30),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise SettingsError(f"{name} must be between {least} and {most}, a whole number, not {value!r}")
        for name, allowed in (("raw_paste", ("on", "refused", "absent")), ("overrun", ("stall", "drop"))):
            value = getattr(self, name)
            if value not in allowed:
                raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        for name in ("keeps_power", "reset_drops_link"):
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if not isinstance(self.unique_id, bytes | None):
            raise SettingsError(f"unique_id must be bytes, or None, not {self.unique_id!r}")
        if self.folder is not None:
            if not isinstance(self.folder, str | os.PathLike):
                raise SettingsError(f"folder must be the path of a folder, or None, not {self.folder!r}")
            object.__setattr__(self, "folder", os.fsdecode(self.folder))

    def identity(self, name: str) -> bytes:
        """Give the eight or more bytes of the board's unique id."""
        return self.unique_id or hashlib.sha256(name.encode()).digest()[:8]

    def to_json(self) -> dict[str, Any]:
        """Give what `from_json` takes."""
        return {**dataclasses.asdict(self), "unique_id": self.unique_id.hex() if self.unique_id else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> VirtualBoardOptions:
        """Make options from `to_json`'s dictionary."""
        identity = values.get("unique_id")
        return cls(**{**values, "unique_id": bytes.fromhex(identity) if identity else None})


def _truth(text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError(f"yes or no is meant, not {text!r}") from None


_PARSERS: dict[str, Any] = {
    "folder": str, "window": int, "raw_paste": str, "ring": int, "overrun": str, "memory": int, "storage": int,
    "unique_id": bytes.fromhex, "keeps_power": _truth, "reset_drops_link": _truth,
}  # fmt: skip


def check_name(name: str) -> str:
    """Give the name back, or raise DeviceNotFound when it cannot be part of a URL."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeviceNotFound(f"{name!r} cannot name a virtual board; use up to 64 letters, digits, '.', '_' and '-'")
    return name


def parse_url(url: str) -> tuple[str | None, VirtualBoardOptions | None]:
    """Split ``virtual:NAME?option=value&...`` into the name and the options, each None when it is not given."""
    if not isinstance(url, str) or not url.startswith(SCHEME):
        raise DeviceNotFound(f"{url!r} does not name a virtual board; write 'virtual:' or 'virtual:NAME'")
    name, _, query = url.removeprefix(SCHEME).partition("?")
    values: dict[str, Any] = {}
    for key, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
        if key not in _PARSERS:
            near = difflib.get_close_matches(key, _PARSERS, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_PARSERS)}"
            raise DeviceNotFound(f"{url!r}: a virtual board has no option {key!r}{hint}")
        try:
            values[key] = _PARSERS[key](text)
        except ValueError as error:
            raise DeviceNotFound(f"{url!r}: {key}: {error}") from None
    try:
        options = VirtualBoardOptions(**values) if values else None
    except ValueError as error:
        raise DeviceNotFound(f"{url!r}: {error}") from None
    return check_name(name) if name else None, options
