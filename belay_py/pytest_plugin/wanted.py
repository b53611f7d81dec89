"""What a test asks of its board, by the marker ``belay_board``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest

from belay_py.text import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a board must be and have. The markers of a test, its class and its module are taken together."""

    caps: frozenset[str] = frozenset()
    """Modules, or parts of them, as in ``machine.PWM``; or fields of `belay_py.session.info.Capabilities`."""
    tags: frozenset[str] = frozenset()
    """What the settings say of the board."""
    implementation: str | None = None
    """``sys.implementation.name``."""
    virtual: bool | None = None
    """True: the virtual board will do where there is no other; False: it will not, whatever the options say."""
    count: int | None = None
    """How many boards the fixture ``boards`` gives; None: all that are free."""
    reset: Literal["soft", "hard"] = "soft"
    """What makes the board clean."""


_NAMES = tuple(field.name for field in fields(Wanted))


def wanted_by(node: pytest.Item | pytest.Collector) -> Wanted:
    """Return what the markers of a test, or of a wider scope, ask for. Raises `pytest.UsageError`."""
    found: dict[str, Any] = {}
    for mark in node.iter_markers("belay_board"):  # the closest first
        for name, value in _checked(mark).items():
            if name in {"caps", "tags"}:
                found[name] = found.get(name, frozenset()) | value
            else:
                found.setdefault(name, value)
    return Wanted(**found)


def _checked(mark: pytest.Mark) -> dict[str, Any]:
    if mark.args:
        raise pytest.UsageError(f"belay_board takes keywords only, such as caps={mark.args[0]!r}")
    given = {name: value for name, value in mark.kwargs.items() if value is not None}
    for name, value in given.items():
        if name not in _NAMES:
            hint = did_you_mean(name, _NAMES, "there are")
            raise pytest.UsageError(f"belay_board has no {name!r}; {hint}")
        if name in {"caps", "tags"}:
            given[name] = frozenset({value} if isinstance(value, str) else value)
    for name in given.get("caps", ()):
        if not all(part.isidentifier() for part in str(name).split(".")):
            raise pytest.UsageError(f"belay_board: caps has {name!r} in it; name a module, or as in 'machine.PWM'")
    if "count" in given and (not isinstance(given["count"], int) or given["count"] < 1):
        raise pytest.UsageError(f"belay_board: count is {given['count']!r}; it must be 1 or more")
    if given.get("reset", "soft") not in {"soft", "hard"}:
        raise pytest.UsageError(f"belay_board: reset is {given['reset']!r}; it must be 'soft' or 'hard'")
    return given
