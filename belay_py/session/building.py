"""Sessions from profiles: named sets of options, as settings have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from belay_py.errors import SettingsError
from belay_py.options import DeviceSessionOptions
from belay_py.options.nesting import layered
from belay_py.session.session import DeviceSession


def build_session(
    profile: Mapping[str, Any] | DeviceSessionOptions,
    port: str | None = None,
    *,
    device_id: str | None = None,
    **options: Any,
) -> DeviceSession:
    """Return a session with the options of a profile and its policies wired; it is not connected.

    ``profile`` has fields of `DeviceSessionOptions`; ``communication``, ``retry``, ``rate_limit`` and
    ``circuit_breaker`` may be mappings of their fields. ``port`` and ``options`` go on top, nested mappings field by
    field. Raises `SettingsError` for a name or value that is wrong, and without a port.
    """
    return DeviceSession(options_of(profile, port, options), device_id=device_id)


def options_of(
    profile: Mapping[str, Any] | DeviceSessionOptions, port: str | None, options: Mapping[str, Any]
) -> DeviceSessionOptions:
    """Return the options that `build_session` takes. Raises `SettingsError`."""
    if port is not None:
        options = {**options, "port": port}
    if isinstance(profile, DeviceSessionOptions):
        return DeviceSessionOptions.build(profile, options)
    if not isinstance(profile, Mapping):
        raise SettingsError(
            f"the profile is {profile!r}; it must be a mapping of options, or DeviceSessionOptions(...); names of "
            "profiles are a manager's"
        )
    merged = layered(profile, options)
    return DeviceSessionOptions.build(merged.pop("port", None), merged)
