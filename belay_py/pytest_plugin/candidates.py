"""Which boards there could be for a run: those that are named, else those of the settings, else those plugged in."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from belay_py.devices.discovery import list_devices
from belay_py.devices.identity import makes_its_board, scheme_of
from belay_py.errors import BelayError
from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.pytest_plugin.options import Choices, choices
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


_TABLES: Final = frozenset({"session", "devices", "profiles"})
_VIRTUAL: Final = "virtual:pytest-"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A board that may be there."""

    name: str
    options: DeviceSessionOptions

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual board of this process."""
        return scheme_of(self.options.port) == "virtual"


def named_count(config: pytest.Config) -> int | None:
    """How many workers the boards that are named allow; None where none is named, or one is made for each worker."""
    chosen = choices(config)
    if chosen.virtual:
        return None
    found, is_named = _find(chosen, manager_options(chosen), discover=False)
    return len(found) if is_named and not any(one.is_virtual for one in found) else None


def candidates(chosen: Choices, options: DeviceSessionManagerOptions) -> list[Candidate]:
    """Return the boards that may be there. Raises `pytest.UsageError` for a name that is none."""
    return _find(chosen, options, discover=True)[0]


def _find(chosen: Choices, options: DeviceSessionManagerOptions, *, discover: bool) -> tuple[list[Candidate], bool]:
    """The boards, and whether somebody has named them."""
    named = [*_from_settings(chosen.boards, options.devices), *_from_ports(chosen.ports, options)]
    if named:
        return named, True
    if options.devices:
        return [Candidate(*device) for device in options.devices.items()], True
    if not discover:
        return [], False
    # Never a bridge behind which a board may be: what is there may be no board, and is disturbed by being asked.
    return list(_from_ports((one.port for one in list_devices() if one.likely_micropython), options)), False


def _from_settings(names: Iterable[str], devices: Mapping[str, DeviceSessionOptions]) -> list[Candidate]:
    for name in names:
        if name not in devices:
            hint = did_you_mean(name, devices, "the devices are") if devices else "the settings name no device"
            raise pytest.UsageError(f"--belay-board: there is no device {name!r}; {hint}")
    return [Candidate(name, devices[name]) for name in dict.fromkeys(names)]


def _from_ports(ports: Iterable[str], options: DeviceSessionManagerOptions) -> Iterator[Candidate]:
    seen: set[str] = set()
    for port in ports:
        if scheme_of(port) == "virtual" and makes_its_board(port):
            yield virtual_candidate(sum(name.startswith(_VIRTUAL) for name in seen) + 1, options, port)
            seen.add(f"{_VIRTUAL}{len(seen)}")
        elif port not in seen:
            seen.add(port)
            yield Candidate(port, options.session_options(port, {}))


def virtual_candidate(number: int, options: DeviceSessionManagerOptions, port: str = "virtual:") -> Candidate:
    """Return a virtual board that lives as long as this process: a new one for each test would take 0.2 s."""
    named = f"{_VIRTUAL}{number}{port.removeprefix('virtual:')}"
    return Candidate(named, options.session_options(named, {}))


def manager_options(chosen: Choices) -> DeviceSessionManagerOptions:
    """Return the options of the settings, or the defaults where there are none. Raises `pytest.UsageError`."""
    if not (chosen.config or Path("belay.toml").exists() or any(map(_is_setting, os.environ))):
        return DeviceSessionManagerOptions()
    from belay_py.settings import load_settings  # noqa: PLC0415  loads pydantic

    try:
        return load_settings(chosen.config).manager_options()
    except BelayError as error:
        raise pytest.UsageError(str(error)) from None


def _is_setting(variable: str) -> bool:
    known = {field.name for field in dataclasses.fields(DeviceSessionManagerOptions)} | _TABLES
    name = variable.upper()
    return name.startswith("BELAY_") and name.removeprefix("BELAY_").partition("__")[0].lower() in known
