"""Reading the files that `belay_py.transports.tracing` writes, where their form is described."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from belay_py.errors import SettingsError

if TYPE_CHECKING:
    import os

_T = TypeVar("_T")
_SENDERS: Final[dict[str, Literal["host", "board"]]] = {"host": "host", "board": "board"}


class Piece(NamedTuple):
    """Bytes that went over the link together, ``at`` seconds after its opening."""

    at: float
    sender: Literal["host", "board"]
    data: bytes


@dataclass(frozen=True, slots=True)
class TracedLink:
    """One opening of a port: what went over it, and its events, as they stand in the file."""

    port: str
    pieces: list[Piece] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def sent_by(self, sender: Literal["host", "board"]) -> bytes:
        """All the bytes of one side."""
        return b"".join(piece.data for piece in self.pieces if piece.sender == sender)


def read_trace(path: str | os.PathLike[str]) -> list[TracedLink]:
    """Read a trace: its links, in the order of their openings.

    Lines that were cut short, by the end of a process or a full disk, are left out. Raises `SettingsError` for a file
    that cannot be read or is no trace.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(f"cannot read the trace {path} ({error.strerror}); name a file of this computer") from error
    found: list[TracedLink] = []
    links: dict[str, TracedLink] = {}
    for number, line in enumerate(lines, start=1):
        if _is_cut(line):
            continue
        try:
            entry = json.loads(line)
            name = entry["link"]
            if entry.get("event") == "opened":
                found.append(TracedLink(_a(str, entry["port"])))
                links[name] = found[-1]  # even if another had the same word
            if "event" in entry:
                links[name].events.append(entry)
            else:
                sender: Literal["host", "board"] = _SENDERS[entry["from"]]
                piece = Piece(float(_a((int, float), entry["t"])), sender, entry["data"].encode("latin-1"))
                links[name].pieces.append(piece)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise SettingsError(f"line {number} of {path} is not that of a trace; was the file edited?") from error
    return found


def _is_cut(line: bytes) -> bool:
    """Whether a line was cut short. All braces but the outer ones are in strings: one of those may be its end."""
    if not line.endswith(b"}"):
        return True
    try:
        json.loads(line + b'"}')
    except (ValueError, RecursionError):
        return False
    return True


def _a(kind: type[_T] | tuple[type[_T], ...], value: object) -> _T:
    """Return a value of JSON that must be of a kind. Raises `TypeError`."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is of another type")
    return value
