"""Settings become options: session defaults, below a profile, below a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.settings.sources import leaves
from belay_py.settings.tables import options_of, usb_port

if TYPE_CHECKING:
    from belay_py.settings.sources import Keys

_T = TypeVar("_T")


def merge(*trees: Mapping[str, Any]) -> dict[str, Any]:
    """Lay trees on each other, the last one on top; tables are merged, all else is replaced."""
    merged: dict[str, Any] = {}
    for tree in trees:
        for key, value in tree.items():
            below = merged.get(key)
            if isinstance(value, Mapping):
                merged[key] = merge(below if isinstance(below, Mapping) else {}, value)
            else:
                merged[key] = value
    return merged


def overlay(below: dict[Keys, _T], above: Mapping[Keys, _T], tree: Mapping[str, Any]) -> None:
    """Do to values listed by their ways what `merge` does to trees; ``above`` has the ways of ``tree``."""
    for keys, value in leaves(tree).items():
        inside = [way for way in below if way[: len(keys)] == keys]
        if isinstance(value, Mapping) and any(way != keys for way in inside):
            continue  # an empty table, which leaves what the one below it has
        around = [keys[:length] for length in range(len(keys)) if keys[:length] in below]
        for way in (*inside, *around):
            del below[way]
        below[keys] = above[keys]


def session_options(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree with its tables made into what the options hold. Raises `SettingsError`."""
    tables = {name: option.table for name, option in options_of(DeviceSessionOptions).items()}
    made = dict(tree)
    for name, value in tree.items():
        table = tables.get(name)
        if table is not None and isinstance(value, Mapping):
            made[name] = table(**value)
    return made


def manager_options(tree: Mapping[str, Any]) -> DeviceSessionManagerOptions:
    """Return the options that a tree of settings means. It must have passed the models. Raises `SettingsError`."""
    session, profiles, devices = (tree.get(name, {}) for name in ("session", "profiles", "devices"))
    return DeviceSessionManagerOptions(
        **{name: value for name, value in tree.items() if name not in {"session", "profiles", "devices"}},
        defaults=session_options(session),
        # On top of the defaults here already: the manager lays whole options on each other, not their tables.
        profiles={name: session_options(_on(session, profile)) for name, profile in profiles.items()},
        devices={
            name: DeviceSessionOptions(**session_options(device_tree(device, session, profiles)))
            for name, device in devices.items()
        },
    )


def device_tree(device: Mapping[str, Any], session: Mapping[str, Any], profiles: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a device is set to: its own, above its profile's, above all sessions'."""
    own = {name: value for name, value in device.items() if name not in {"profile", "usb"}}
    if "usb" in device:
        own["port"] = usb_port(device["usb"])
    return merge(session, profiles.get(device.get("profile", ""), {}), own)


def _on(session: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    merged = merge(session, profile)
    return {name: merged[name] for name in profile}
