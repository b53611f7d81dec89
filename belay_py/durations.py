"""Durations as people write them, ``5m`` or ``1h30m``, and as programs count them: seconds."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Final

from belay_py.errors import SettingsError
from belay_py.text import short

EXAMPLES: Final = "90, 250ms, 5m, 1h30m or 2d"

_UNITS: Final = {
    "d": Fraction(86400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
_NAMES: Final = {
    **dict.fromkeys(("days", "day"), "d"),
    **dict.fromkeys(("hours", "hour", "hrs", "hr"), "h"),
    **dict.fromkeys(("minutes", "minute", "mins", "min"), "m"),
    **dict.fromkeys(("seconds", "second", "secs", "sec"), "s"),
}
_NEVER: Final = frozenset({"inf", "never"})
# As many digits as a float's exact value has at most, and few enough for int(), which refuses thousands.
_NUMBER: Final = r"(?:[0-9]{1,400}(?:\.[0-9]{0,1100})?|\.[0-9]{1,1100})"
_PLAIN: Final = re.compile(_NUMBER)
_PARTS: Final = re.compile(rf"(?:{_NUMBER} *[a-z]+ *)+")
_PART: Final = re.compile(rf"({_NUMBER}) *([a-z]+)")


def parse_duration(text: str) -> float:
    """Return seconds for ``90``, ``1.5``, ``250ms``, ``5m``, ``1h30m``, ``2d``; infinity for ``inf`` and ``never``.

    Units go from the largest to the smallest, each once at most. Raises `SettingsError`, which shows right ones.
    """
    wanted = text.strip().lower()
    if wanted in _NEVER:
        return math.inf
    try:
        seconds = float(_sum(wanted, text))
    except OverflowError:
        seconds = math.inf
    if math.isinf(seconds):
        raise SettingsError(f"{short(text)!r} is too long a duration; write inf for no limit")
    return seconds


def _sum(wanted: str, text: str) -> Fraction:
    if _PLAIN.fullmatch(wanted):
        return Fraction(wanted)
    if not _PARTS.fullmatch(wanted):
        raise SettingsError(f"{short(text)!r} is no duration; write seconds or a unit, as in {EXAMPLES}")
    total = Fraction(0)
    smallest: Fraction | None = None
    for number, unit in _PART.findall(wanted):
        size = _UNITS.get(unit)
        if size is None:
            hint = f"for {unit} write {_NAMES[unit]}" if unit in _NAMES else "the units are d, h, m, s and ms"
            raise SettingsError(f"{short(text)!r} is no duration; {hint}, as in {EXAMPLES}")
        if smallest is not None and size >= smallest:
            raise SettingsError(f"{short(text)!r} is no duration; write each unit once, the largest first, as in 1h30m")
        total += Fraction(number) * size
        smallest = size
    return total


def format_duration(seconds: float) -> str:
    """Return what `parse_duration` reads back as the very same number: ``1h30m``, ``250ms``, ``never``."""
    if math.isinf(seconds):
        return "never"
    if seconds == 0:
        return "0s"
    if 0 < seconds < 1 and (seconds * 1000).is_integer() and int(seconds * 1000) / 1000 == seconds:
        return f"{int(seconds * 1000)}ms"
    if seconds != int(seconds):
        return f"{Decimal(repr(float(seconds))):f}s"
    left, text = int(seconds), ""
    for unit in ("d", "h", "m", "s"):
        count, left = divmod(left, int(_UNITS[unit]))
        text += f"{count}{unit}" if count else ""
    return text
