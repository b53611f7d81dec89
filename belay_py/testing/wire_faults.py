"""What can happen to a byte, or to the link, at a place that a test names."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeAlias

from belay_py.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Cut:
    """The link is lost: the client sees its end, the port is gone until `FaultyWire.replug`. The board lives on."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more is delivered in this direction, and nobody is told, until `Direction.resume`."""


@dataclass(frozen=True, slots=True)
class Drop:
    """``count`` bytes vanish."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class Corrupt:
    """The bits of ``mask`` (1 to 255) are inverted in each of ``count`` bytes."""

    mask: int = 0x20
    count: int = 1


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Each of ``count`` bytes is delivered twice."""

    count: int = 1


Fault: TypeAlias = Cut | Stall | Drop | Corrupt | Duplicate

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Cut, Stall, Drop, Corrupt, Duplicate)}


def check(place: int, fault: Fault) -> None:
    """Refuse what cannot happen. Raises `SettingsError`."""
    if type(fault).__name__ not in _KINDS:
        raise SettingsError(f"{fault!r} is no fault of a wire; use one of {', '.join(_KINDS)}, as in Cut()")
    if not _is_whole(place) or place < 0:
        raise SettingsError(f"a fault happens after a whole number of bytes, 0 or more, not {place!r}")
    count = getattr(fault, "count", 1)
    if not _is_whole(count) or count < 1:
        raise SettingsError(f"a fault acts on 1 byte or more, not {count!r}")
    if isinstance(fault, Corrupt) and not (_is_whole(fault.mask) and 1 <= fault.mask <= 255):
        raise SettingsError(f"a mask that changes a byte is 1 to 255, not {fault.mask!r}")


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def to_json(fault: Fault) -> dict[str, Any]:
    """Write a fault down for another process."""
    return {"kind": type(fault).__name__, **dataclasses.asdict(fault)}


def from_json(written: dict[str, Any]) -> Fault:
    """Read what `to_json` wrote."""
    fields = dict(written)
    fault: Fault = _KINDS[fields.pop("kind")](**fields)
    return fault


def changed(byte: int, faults: list[Fault], *more: Fault) -> bytes:
    """What arrives instead of one byte."""
    data = bytes((byte,))
    for fault in (*faults, *more):
        if isinstance(fault, Drop):
            data = b""
        elif isinstance(fault, Corrupt):
            data = bytes(each ^ fault.mask for each in data)
        elif isinstance(fault, Duplicate):
            data += data
    return data
