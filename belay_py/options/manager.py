"""What can be set for a manager of many sessions, and the devices that it knows by name."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from belay_py.errors import SettingsError
from belay_py.options.checks import (
    COUNT,
    DELAY,
    FINITE,
    OPTIONS,
    PATH,
    SECONDS,
    SWITCH,
    WHOLE,
    check,
    check_device_id,
    check_names,
    one_of,
    or_none,
    require,
)
from belay_py.options.nesting import layered
from belay_py.options.session import DeviceSessionOptions
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from belay_py.options.checks import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSessionManagerOptions:
    """A manager's options. Durations are seconds."""

    max_sessions: int = 100
    """How many may be open, or about to be, at a time."""
    enable_session_pooling: bool = True
    """Whether a session stays open between two leases."""
    max_waiting: int = 1000
    """How many may wait for a board at a time; the next one is refused at once."""
    lease_timeout: float = 30.0
    """For a lease that names no timeout: waiting, connecting and checking, together."""
    cleanup_interval: float = 300.0
    """Between two looks for sessions that are disposed of or expired."""
    cleanup_grace: float = 0.0
    """How long an expired session stays open beyond its time."""
    leak_after: float | None = 600.0
    """A lease that is held for longer is reported, with the place that took it."""
    leak_stacks: bool = False
    """Whether the whole stack of that place is kept, and not only its line."""
    quarantine_after: int = 5
    """Links that are lost within ``quarantine_window`` put a board into quarantine; 0: never."""
    quarantine_window: float = 60.0
    """The time in which they count."""
    quarantine_time: float = 300.0
    """How long a board in quarantine is left alone."""
    close_grace: float = 5.0
    """How long `close` lets leases end by themselves."""
    on_close: Literal["stop", "leave"] = "stop"
    """What becomes of code that runs on a board when the manager closes: it is stopped, or goes on."""
    journal: str | os.PathLike[str] | None = None
    """A file that keeps which boards, sessions and leases there were, for the next process."""
    warm_up: tuple[str, ...] = ()
    """Devices to connect at the start."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Options of every session that does not name them."""
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Named sets of options, which devices may name."""
    devices: Mapping[str, DeviceSessionOptions] = field(default_factory=dict)
    """The boards that are known by name; each is opened on its first use. A port alone stands for options as well."""

    def __post_init__(self) -> None:
        check(self, _RULES)
        self._check_options("defaults", self.defaults)
        for name, options in self.profiles.items():
            self._check_options(f"profiles.{name}", options)
        object.__setattr__(self, "devices", {name: self._device(name, it) for name, it in self.devices.items()})
        object.__setattr__(self, "warm_up", tuple(self.warm_up))
        for device_id in self.warm_up:
            if device_id not in self.devices:
                hint = did_you_mean(device_id, self.devices, "the devices are")
                raise SettingsError(f"warm_up has {device_id!r} in it, which is no device; {hint}")

    def _check_options(self, where: str, options: Mapping[str, Any]) -> None:
        """Refuse what no session could be made with, here, and not at each one."""
        require(where, options, OPTIONS)
        with _placed(where):
            merged = layered(self.defaults, options)
            DeviceSessionOptions.build(merged.pop("port", "virtual:"), merged)

    def _device(self, name: str, device: str | DeviceSessionOptions) -> DeviceSessionOptions:
        check_device_id(name)
        require(f"devices.{name}", device, _DEVICE)
        with _placed(f"devices.{name}"):
            return self.session_options(device, {})

    @classmethod
    def build(
        cls, overrides: Mapping[str, Any], base: DeviceSessionManagerOptions | None = None
    ) -> DeviceSessionManagerOptions:
        """Return options from keyword arguments, on top of others if there are any.

        Raises `SettingsError` for a name that is no option, with the nearest right one.
        """
        check_names(overrides, [item.name for item in dataclasses.fields(cls)], means={"timeout": "lease_timeout"})
        return cls(**overrides) if base is None else dataclasses.replace(base, **overrides)

    def profile(self, name: str) -> Mapping[str, Any]:
        """The set of options of that name. Raises `SettingsError` with the nearest right one."""
        if not isinstance(name, str) or name not in self.profiles:
            raise SettingsError(
                f"there is no profile {name!r}; {did_you_mean(name, self.profiles, 'the profiles are')}"
            )
        return self.profiles[name]

    def session_options(
        self, port: str | DeviceSessionOptions | None, overrides: Mapping[str, Any], profile: str | None = None
    ) -> DeviceSessionOptions:
        """Return a session's options: the defaults, a profile's on top, then ``overrides``; mappings field by field.

        Whole options in place of ``port`` are taken as they are, with ``overrides`` on top; without a port it is that
        of the profile. Raises `SettingsError`.
        """
        if isinstance(port, DeviceSessionOptions):
            return DeviceSessionOptions.build(port, overrides)
        merged = layered(self.defaults, {} if profile is None else self.profile(profile), overrides)
        of_profile = merged.pop("port", None)
        return DeviceSessionOptions.build(of_profile if port is None else port, merged)


@contextlib.contextmanager
def _placed(where: str) -> Iterator[None]:
    """Put the place into an error."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None


_DEVICE: Final[Rule] = (
    lambda value: isinstance(value, str | DeviceSessionOptions),
    'a port, such as "/dev/ttyACM0", or DeviceSessionOptions(port=...)',
)
_RULES: Final[Mapping[str, Rule]] = {
    "max_sessions": COUNT,
    "enable_session_pooling": SWITCH,
    "max_waiting": WHOLE,
    "lease_timeout": SECONDS,
    "cleanup_interval": FINITE,
    "cleanup_grace": DELAY,
    "leak_after": or_none(SECONDS),
    "leak_stacks": SWITCH,
    "quarantine_after": WHOLE,
    "quarantine_window": FINITE,
    "quarantine_time": FINITE,
    "close_grace": DELAY,
    "on_close": one_of("stop", "leave"),
    "journal": PATH,
    "warm_up": (
        lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes),
        "several names of devices, such as ('left', 'right')",
    ),
    "profiles": (lambda value: isinstance(value, Mapping), "a mapping of names to options"),
    "devices": (lambda value: isinstance(value, Mapping), "a mapping of names to ports or options"),
}
