"""Where settings are written, a file, the environment or code, read into trees that know the place of each value."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from belay_py.errors import SettingsError
from belay_py.text import short

Keys: TypeAlias = tuple[str, ...]
"""The way to a value: ``("devices", "sensor", "port")``."""

DEFAULT_FILE: Final = "belay.toml"
PREFIX: Final = "BELAY_"
FILE_VARIABLE: Final = "BELAY_SETTINGS"
OTHER_VARIABLES: Final = frozenset(
    {FILE_VARIABLE, "BELAY_PORT", "BELAY_CACHE_DIR", "BELAY_LOCK_DIR", "BELAY_VIRTUAL_WASM", "BELAY_REQUIRE_FIRMWARE"}
    # Those of the pytest plugin.
    | {"BELAY_BOARD", "BELAY_BOARD_SCOPE", "BELAY_LOG_DIR", "BELAY_REQUIRE", "BELAY_VIRTUAL"}
)
"""Variables of this project that are no settings of a session or manager."""

_LARGEST_FILE: Final = 2**20
_DEEPEST: Final = 10
"""Tables and lists in each other; settings have four, and Python itself gives up at about a thousand."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: a file, a variable of the environment, code, or nowhere (the default)."""

    place: str
    is_variable: bool = False

    def spot(self, keys: Keys) -> str:
        """The place of one value, for a message: ``belay.toml: devices.sensor.port``, or the variable's name."""
        return self.place if self.is_variable else f"{self.place}: {dotted(keys)}"


DEFAULT: Final = Origin("default")
CODE: Final = Origin("code")


@dataclass(frozen=True, slots=True)
class Source:
    """What one place says: tables in tables, the origin of each value, and what is wrong already."""

    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def dotted(keys: Iterable[str]) -> str:
    """A way as TOML writes it: ``devices."left arm".port``."""
    return ".".join(key if _BARE.fullmatch(key) else _quoted(key) for key in keys)


def _quoted(key: str) -> str:
    return json.dumps(key, ensure_ascii=not key.isprintable())


def leaves(tree: Mapping[str, Any]) -> dict[Keys, Any]:
    """Every value of a tree by its way; an empty table counts as one."""
    found: dict[Keys, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= {(str(key), *rest): leaf for rest, leaf in leaves(value).items()}
        else:
            found[(str(key),)] = value
    return found


# ---- The file ----


def read_file(named: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Source:
    """Read the file that is named, or else that of ``BELAY_SETTINGS``, or else ``belay.toml`` if there is one.

    Raises `SettingsError` for a file that is named and missing, and for what is no TOML in UTF-8.
    """
    if named is not None and (not isinstance(named, str | os.PathLike) or not isinstance(os.fspath(named), str)):
        raise SettingsError(f"the settings file is {named!r}; it must be the path of a file")
    of_environment = environ.get(FILE_VARIABLE, "").strip()
    place = os.fspath(named) if named is not None else of_environment or DEFAULT_FILE
    if not place:  # which pathlib takes for the current folder
        raise SettingsError(f"the settings file is ''; name one that exists, such as {DEFAULT_FILE}, or none")
    data = _read(place, must_exist=bool(named is not None or of_environment), variable=named is None and of_environment)
    if data is None:
        return Source()
    tree = _parse(place, data)
    origin = Origin(place)
    return Source(tree, dict.fromkeys(leaves(tree), origin))


def _read(place: str, *, must_exist: bool, variable: object) -> bytes | None:
    said = short(f"{place} ({FILE_VARIABLE})" if variable else place, 200)
    try:
        path = Path(place)
        mode = path.stat().st_mode
        data = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        if must_exist:
            raise SettingsError(f"{said} is not there; name a file that exists, or none") from None
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"{said} cannot be read ({reason}); name a file that can") from error
    # A pipe or a terminal would be waited for, and /dev/zero has no end.
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no plain file"
        raise SettingsError(f"{said} is {what}; name a settings file, such as {DEFAULT_FILE}")
    if len(data) > _LARGEST_FILE:
        raise SettingsError(f"{said} is longer than {_LARGEST_FILE} bytes; is it a settings file?")
    return data


def _parse(place: str, data: bytes) -> dict[str, Any]:
    try:
        tree = tomllib.loads(data.decode("utf-8-sig"))  # some editors begin UTF-8 with a mark
        too_deep = _depth_exceeds(tree)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{place} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{place} is no TOML: {_with_place(str(error), data)}") from error
    except ValueError as error:  # numbers of thousands of digits, dates that there are not
        raise SettingsError(f"{place} has a value that cannot be read: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{place} has too many tables or lists in each other") from error
    if too_deep:
        raise SettingsError(f"{place} has too many tables or lists in each other; settings need {_DEEPEST} at most")
    return tree


def _with_place(said: str, data: bytes) -> str:
    """Python's message with numbers where it says "at end of document"."""
    lines = data.decode("utf-8-sig").splitlines() or [""]
    return said.replace("at end of document", f"at line {len(lines)}, column {len(lines[-1]) + 1}, the end")


def _depth_exceeds(tree: Mapping[str, Any]) -> bool:
    """Whether things are deeper in each other than is sane; without recursion, which is what would fail."""
    level: list[Any] = [tree]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


# ---- The environment ----


def read_environment(environ: Mapping[str, str], below: Mapping[str, Any]) -> Source:
    """Read the variables that begin with ``BELAY_``; ``__`` leads into a table. An empty one counts as not set.

    Names of variables have no case, so devices and profiles that are in ``below`` already, the file's tree, are met
    whatever their case is, and with ``_`` for ``-``.
    """
    found = Source()
    for variable in sorted(environ, key=lambda name: (name.upper(), name)):
        name, value = variable.upper(), environ[variable]
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES and value.strip():
            if not _is_text(variable):
                found.problems.append(f"{variable!r} is no setting; its name is not UTF-8: rename it, or unset it")
                continue
            keys = name.removeprefix(PREFIX).lower().split("__")
            if len(keys) > _DEEPEST:
                found.problems.append(f"{variable} is no setting; none has so many tables in each other")
                continue
            if keys[0] in {"devices", "profiles"} and len(keys) > 1:
                named = below.get(keys[0])
                alike = [key for key in (named if isinstance(named, dict) else ()) if _alike(key, keys[1])]
                if len(alike) > 1:
                    found.problems.append(f"{variable}: it could mean any of {', '.join(alike)}; rename all but one")
                    continue
                keys[1] = alike[0] if alike else keys[1]
            _put(found, tuple(keys), value, Origin(variable, is_variable=True))
    return found


def _is_text(name: str) -> bool:
    """Whether a name can be written: one with bytes that are no UTF-8 has half a character for each of them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _alike(name: str, wanted: str) -> bool:
    return name.lower().replace("-", "_") == wanted.replace("-", "_")


def _put(source: Source, keys: Keys, value: str, origin: Origin) -> None:
    # A variable that is the beginning of another comes first, so a contradiction shows at the longer one.
    for length in range(1, len(keys) + 1):
        rival = source.origins.get(keys[:length])
        if rival is not None:
            source.problems.append(f"{origin.place}: it contradicts {rival.place}; unset one of them")
            return
    table = source.tree
    for key in keys[:-1]:
        table = table.setdefault(key, {})
    table[keys[-1]] = value
    source.origins[keys] = origin


# ---- Code ----


def read_code(values: Mapping[str, Any]) -> Source:
    """Take keyword arguments; options objects, such as `RetryOptions`, count as tables. Raises `SettingsError`."""
    if _depth_exceeds(values):
        raise SettingsError("code has too many tables or lists in each other for settings")
    tree = _plain(values)
    return Source(tree, dict.fromkeys(leaves(tree), CODE))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not _is_text(str(key)):
                raise SettingsError(f"code: {key!r} is no name of a setting; it is not UTF-8")
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value
