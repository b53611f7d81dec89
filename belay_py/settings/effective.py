"""What the settings come to, value by value, and where each one is from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from belay_py.options import DeviceSessionOptions
from belay_py.settings.merging import overlay
from belay_py.settings.sources import DEFAULT, Keys, Origin, dotted, leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from belay_py.options import DeviceSessionManagerOptions


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """One option, such as ``session.idle_timeout``, its value, and the place that set it."""

    name: str
    value: Any
    origin: str
    """``default``, a file, a variable, or ``code``."""
    table: str
    """The table that it was written in: its own, or for a device that of its profile or ``session``."""


def effective_values(
    tree: Mapping[str, Any], origins: Mapping[Keys, Origin], options: DeviceSessionManagerOptions
) -> Iterator[EffectiveValue]:
    """Yield all options in the order of the file; ``tree`` holds what was set, by tables."""

    def origin(keys: Keys, table: Keys) -> tuple[str, Keys]:
        return origins.get((*table, *keys), DEFAULT).place, table

    for name in (field.name for field in dataclasses.fields(options)):
        if name not in {"defaults", "profiles", "devices"}:
            yield EffectiveValue(name, getattr(options, name), origin((name,), ())[0], "")
    defaults = DeviceSessionOptions(**{"port": "none", **options.defaults})
    yield from _values(("session",), defaults, lambda keys: origin(keys, ("session",)), leave_out="port")
    for profile, values in tree.get("profiles", {}).items():
        for keys, value in leaves(values).items():
            place, table = origin(keys, ("profiles", profile))
            yield EffectiveValue(dotted((*table, *keys)), value, place, dotted(table))
    for device, values in tree.get("devices", {}).items():
        tables = _tables_of(device, values, tree)

        def of_device(keys: Keys, tables: Mapping[Keys, Keys] = tables, device: str = device) -> tuple[str, Keys]:
            table = tables.get(keys, ("devices", device))
            return origin(("usb",) if keys == ("port",) and "usb" in tree["devices"][device] else keys, table)

        yield from _values(("devices", device), options.devices[device], of_device)
        if "profile" in values:
            place, table = origin(("profile",), ("devices", device))
            yield EffectiveValue(dotted((*table, "profile")), values["profile"], place, dotted(table))


def _tables_of(device: str, values: Mapping[str, Any], tree: Mapping[str, Any]) -> dict[Keys, Keys]:
    """For each option of a device that is set anywhere, the table that decides it."""
    profile = values.get("profile")
    found: dict[Keys, Keys] = {}
    layers: tuple[tuple[Keys, Mapping[str, Any]], ...] = (
        (("session",), tree.get("session", {})),
        (("profiles", profile or ""), tree.get("profiles", {}).get(profile, {})),
        (("devices", device), values),
    )
    for table, below in layers:
        overlay(found, dict.fromkeys(leaves(below), table), below)
    return found


def _values(
    table: Keys, options: Any, origin: Callable[[Keys], tuple[str, Keys]], prefix: Keys = (), leave_out: str = ""
) -> Iterator[EffectiveValue]:
    for field in dataclasses.fields(options):
        keys, value = (*prefix, field.name), getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values(table, value, origin, keys)
        elif field.name != leave_out:
            place, written = origin(keys)
            yield EffectiveValue(dotted((*table, *keys)), value, place, dotted(written))
