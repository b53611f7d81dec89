"""What can be chosen for a run: on the command line, in the environment, in pytest's ini file, in falling order."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


Scope: TypeAlias = Literal["function", "class", "module", "package", "session"]

_SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
_YES: Final = frozenset({"1", "yes", "true", "on"})
_NO: Final = frozenset({"", "0", "no", "false", "off"})


@dataclass(frozen=True, slots=True)
class _Option:
    """One option: `flag` on the command line, `name` in an ini file, `variable` in the environment."""

    name: str
    variable: str
    kind: Literal["linelist", "bool", "string"]
    help: str
    metavar: str | None = None

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")


OPTIONS: Final = (
    _Option("belay_port", "BELAY_PORT", "linelist", "a board's port, or virtual:; may be repeated", "PORT"),
    _Option("belay_board", "BELAY_BOARD", "linelist", "a board of the settings, by name; may be repeated", "NAME"),
    _Option(
        "belay_config", "BELAY_SETTINGS", "string", "the settings file (default: belay.toml, if it exists)", "FILE"
    ),
    _Option("belay_require", "BELAY_REQUIRE", "bool", "a board that is absent is an error and no skip"),
    _Option("belay_virtual", "BELAY_VIRTUAL", "bool", "use the virtual board where no other is free and fits"),
    _Option(
        "belay_board_scope",
        "BELAY_BOARD_SCOPE",
        "string",
        f"how long a test keeps the fixture 'board': {', '.join(_SCOPES)} (default: function)",
        "SCOPE",
    ),
    _Option("belay_log_dir", "BELAY_LOG_DIR", "string", "a folder for a trace of the wire for each test", "DIR"),
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen."""

    ports: tuple[str, ...]
    boards: tuple[str, ...]
    config: str | None
    require: bool
    virtual: bool
    scope: Scope
    log_dir: str | None


def add_options(parser: pytest.Parser) -> None:
    """Tell pytest the options and their ini twins."""
    group = parser.getgroup("belay", "MicroPython boards (belay_py)")
    for option in OPTIONS:
        how: dict[str, Any] = {"dest": option.name, "default": None, "help": f"{option.help} [${option.variable}]"}
        if option.kind == "bool":
            how["action"] = "store_true"
        else:
            how["metavar"] = option.metavar
            how["action"] = "append" if option.kind == "linelist" else "store"
        group.addoption(option.flag, **how)
        parser.addini(option.name, f"{option.help}; as {option.flag}", type=option.kind, default=None)


def choices(config: pytest.Config) -> Choices:
    """Return what was chosen. Raises `pytest.UsageError`."""
    found = {option.name: _chosen(config, option) for option in OPTIONS}
    return Choices(
        ports=tuple(found["belay_port"] or ()),
        boards=tuple(found["belay_board"] or ()),
        config=found["belay_config"] or None,
        require=bool(found["belay_require"]),
        virtual=bool(found["belay_virtual"]),
        scope=scope(config),
        log_dir=found["belay_log_dir"] or None,
    )


def scope(config: pytest.Config) -> Scope:
    """Return the scope of the fixture ``board``. Raises `pytest.UsageError`."""
    [option] = (option for option in OPTIONS if option.name == "belay_board_scope")
    found = _chosen(config, option) or "function"
    if found not in _SCOPES:
        raise pytest.UsageError(f"{option.flag} is {found!r}; it must be one of {', '.join(_SCOPES)}")
    return cast("Scope", found)


def _chosen(config: pytest.Config, option: _Option) -> Any:
    given = config.getoption(option.name)
    if given is not None:
        return given
    value = os.environ.get(option.variable, "").strip()
    return _READERS[option.kind](option, value) if value else config.getini(option.name)


def _read_truth(option: _Option, value: str) -> bool:
    if value.lower() not in _YES | _NO:
        raise pytest.UsageError(f"{option.variable} is {value!r}; it must be yes or no")
    return value.lower() in _YES


def _read_list(option: _Option, value: str) -> list[str]:
    del option
    return [part.strip() for part in value.split(",") if part.strip()]


_READERS: Final[dict[str, Callable[[_Option, str], Any]]] = {
    "linelist": _read_list,
    "bool": _read_truth,
    "string": lambda _, value: value,
}
