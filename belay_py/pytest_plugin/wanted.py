"""What a test asks of its board, by the marker ``belay_board``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal, NoReturn

import pytest

from belay_py.text import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a board must be and have. The markers of a test, its class and its module are taken together."""

    caps: frozenset[str] = frozenset()
    """Modules, or parts of them, as in ``machine.PWM``; or fields of `belay_py.session.info.Capabilities`."""
    tags: frozenset[str] = frozenset()
    """What the settings say of the board."""
    implementation: Literal["micropython", "circuitpython"] | None = None
    """``sys.implementation.name``."""
    virtual: bool | None = None
    """True: the virtual board will do where there is no other; False: it will not, whatever the options say."""
    count: int | None = None
    """How many boards the fixture ``boards`` gives; None: all that are free."""
    reset: Literal["soft", "hard"] = "soft"
    """What makes the board clean."""


_NAMES = tuple(field.name for field in fields(Wanted))
_EITHER = {"implementation": ("micropython", "circuitpython"), "reset": ("soft", "hard")}


def wanted_by(node: pytest.Item | pytest.Collector) -> Wanted:
    """Return what the markers of a test, or of a wider scope, ask for. A marker that is wrong fails the test."""
    found: dict[str, Any] = {}
    for mark in node.iter_markers("belay_board"):  # the closest first
        if mark.args:
            _fail(f"belay_board takes keywords only, such as caps={mark.args[0]!r}")
        for name, value in mark.kwargs.items():
            if value is None:
                continue
            if name in {"caps", "tags"}:
                found[name] = found.get(name, frozenset()) | _names(name, value)
            else:
                found.setdefault(name, _checked(name, value))
    return Wanted(**found)


def _names(name: str, value: object) -> frozenset[str]:
    names = frozenset({value}) if isinstance(value, str) else value
    if not isinstance(names, Collection) or not all(isinstance(one, str) for one in names):
        _fail(f"belay_board: {name} is {value!r}; it must be a name, or several, as in {{'one', 'two'}}")
    for one in names:
        if name == "caps" and not all(part.isidentifier() for part in one.split(".")):
            _fail(f"belay_board: caps has {one!r} in it; name a module, or as in 'machine.PWM'")
    return frozenset(names)


def _checked(name: str, value: object) -> object:
    if name not in _NAMES:
        _fail(f"belay_board has no {name!r}; {did_you_mean(name, _NAMES, 'there are')}")
    if name == "count" and (not isinstance(value, int) or value < 1):
        _fail(f"belay_board: count is {value!r}; it must be 1 or more")
    if name in _EITHER and value not in _EITHER[name]:
        _fail(f"belay_board: {name} is {value!r}; it must be {' or '.join(map(repr, _EITHER[name]))}")
    if name == "virtual" and not isinstance(value, bool):
        _fail(f"belay_board: virtual is {value!r}; it must be True or False")
    return value


def _fail(message: str) -> NoReturn:
    pytest.fail(f"belay: {message}", pytrace=False)
