"""Options within options, as tables of a settings file have them: mappings, laid over each other and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from belay_py.options.checks import check_names
from belay_py.options.communication import CommunicationOptions
from belay_py.options.policies import CircuitBreakerOptions, RateLimitOptions, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

NESTED: Final[Mapping[str, type[CommunicationOptions | RetryOptions | RateLimitOptions | CircuitBreakerOptions]]] = {
    "communication": CommunicationOptions,
    "retry": RetryOptions,
    "rate_limit": RateLimitOptions,
    "circuit_breaker": CircuitBreakerOptions,
}
"""The options of a session that are options themselves."""


def layered(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return layers of a session's options as one, the last on top.

    A mapping in place of nested options changes what it names and keeps the rest of what is below; anything else, None
    included, replaces it. Raises `SettingsError` for a name in such a mapping that is no option.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        check_nested_names(layer)
        for name, value in layer.items():
            merged[name] = _over(merged.get(name), name, value)
    return merged


def built(options: Mapping[str, Any], base: object = None) -> dict[str, Any]:
    """Return options with each mapping turned into the class of its name, on top of what ``base`` has there.

    Raises `SettingsError` for a name or value in it that is wrong.
    """
    check_nested_names(options)
    found = dict(options)
    for name, kind in NESTED.items():
        if isinstance(value := found.get(name), Mapping):
            below = getattr(base, name, None)
            found[name] = kind(**value) if below is None else dataclasses.replace(below, **value)
    return found


def check_nested_names(options: Mapping[str, Any]) -> None:
    """Refuse names in nested mappings that are no options. Raises `SettingsError` with the nearest right one."""
    for name, kind in NESTED.items():
        if isinstance(value := options.get(name), Mapping):
            check_names(value, _names(kind), means={}, prefix=f"{name}.")


def _names(kind: type[Any]) -> Iterable[str]:
    return [item.name for item in dataclasses.fields(kind)]


def _over(below: Any, name: str, value: Any) -> Any:
    if name not in NESTED or not isinstance(value, Mapping):
        return value
    if isinstance(below, Mapping):
        return {**below, **value}
    return dataclasses.replace(below, **value) if isinstance(below, NESTED[name]) else value
