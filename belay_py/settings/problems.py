"""What is wrong with settings, in lines that name the place, the fault and the nearest right name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from belay_py.errors import SettingsError
from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.settings.sources import CODE, OTHER_VARIABLES, PREFIX, Keys, Origin, dotted
from belay_py.settings.tables import options_of
from belay_py.text import did_you_mean, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

_LONGEST: Final = 400
"""Characters of one line: a value may be a megabyte of text."""

_MEANS: Final = {"timeout": ("operation_timeout", "lease_timeout")}
"""Right names for a wrong one that is nearer to others."""
_TOP: Final = ("session", "profiles", "devices")
_OF_DEVICES: Final = ("port", "usb", "profile")
_MANAGER: Final = [name for name in options_of(DeviceSessionManagerOptions) if name not in {"defaults", *_TOP}]
_SESSION: Final = options_of(DeviceSessionOptions)


def refuse(problems: Iterable[str]) -> None:
    """Raise `SettingsError` if there are any problems, with one line for each."""
    lines = list(dict.fromkeys(short(" ".join(problem.split()), _LONGEST) for problem in problems))
    if lines:
        raise SettingsError("\n".join(lines))


def tell(origin: Origin, keys: Keys, said: str) -> str:
    """One line: the place, and what is wrong there."""
    separator = " " if said.startswith(("is ", "has ")) else ": "
    # Messages are written for Python; files and variables spell these three in their own way.
    if origin != CODE:
        said = said.replace("True or False", "true or false").replace(", or None", ', or "none"')
    return f"{origin.spot(keys)}{separator}{said}"


def describe(errors: Iterable[ErrorDetails], origins: Mapping[Keys, Origin]) -> Iterator[str]:
    """Give a line for each error that pydantic found, as they were written; for an unknown table one for each place."""
    written = {way: number for number, way in enumerate(origins)}
    found = []
    for error in errors:
        keys = tuple(str(part) for part in error["loc"])
        places = origins_of(keys, origins)
        found.append((min(written.get(way, len(written)) for way in places), keys, places, error))
    for _, keys, places, error in sorted(found, key=lambda item: item[0]):
        if error["type"] == "extra_forbidden":
            for origin in places.values():
                yield tell(origin, keys, _unknown(keys, origin))
        else:
            way, origin = next(iter(places.items()))
            if origin.is_variable and way != keys:  # what is wrong is not what the variable says
                yield f"{dotted(keys)} ({origin.place}) {_wrong(error, keys, origin)}"
            else:
                yield tell(origin, keys, _wrong(error, keys, origin))


def origins_of(keys: Keys, origins: Mapping[Keys, Origin]) -> dict[Keys, Origin]:
    """Where a way, or what is on it or below it, was written: variables each by itself, files and code once."""
    if keys in origins:
        return {keys: origins[keys]}
    below = {way: origin for way, origin in origins.items() if way[: len(keys)] == keys}
    firsts: dict[Origin, Keys] = {}
    for way, origin in below.items():
        firsts.setdefault(origin, way)
    if firsts:
        return {way: origin for origin, way in firsts.items()}
    above = [origins[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in origins]
    return {keys: above[0] if above else CODE}


def _wrong(error: ErrorDetails, keys: Keys, origin: Origin) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        if origin.is_variable:
            return f"is {error['input']!r}, and names a table; set its options one by one: {origin.place}__NAME"
        header = f"{keys[0]}.NAME" if keys in {("profiles",), ("devices",)} else dotted(keys)
        return f"is {error['input']!r}; it must be a table, [{header}]"
    return f"is {error['input']!r}: {error['msg']}"


# ---- Unknown names ----


def names_at(table: Keys) -> list[str]:
    """The names that a table may have; none for a table that there is not."""
    if not table:
        return [*_MANAGER, *_TOP]
    if table[0] == "session":
        inner, names = table[1:], [name for name in _SESSION if name != "port"]
    elif table[0] in {"profiles", "devices"}:
        inner = table[2:]
        names = [*(_OF_DEVICES if table[0] == "devices" else ()), *(name for name in _SESSION if name != "port")]
    else:
        return []
    if not inner:
        return names
    option = _SESSION.get(inner[0])
    return list(options_of(option.table)) if option is not None and option.table is not None else []


def _unknown(keys: Keys, origin: Origin) -> str:
    table, name = keys[:-1], keys[-1]
    siblings = names_at(table)
    home = _home_of(name, table)
    if origin.is_variable:
        return _unknown_variable(origin.place.upper(), home, table)
    if home is not None:
        inside = f"into the table [{dotted(home[:-1])}]" if len(home) > 1 else "at the top, above the first table"
        return f"is no option here; it belongs {inside}"
    meant = [right for right in _MEANS.get(name, ()) if right in siblings]
    return f"is no option; {did_you_mean(meant[0] if meant else name, siblings, 'the names here are')}"


def _home_of(name: str, table: Keys) -> Keys | None:
    """Where a name is right that was written into a table where it is wrong."""
    if name in {"port", "usb"}:
        return ("devices", "NAME", name)
    if name in _MANAGER:
        return (name,)
    session = table[:1] if table[:1] == ("session",) else table[:2]
    session = session if names_at(session) and session else ("session",)
    if name in _SESSION:
        return (*session, name)
    for option in _SESSION.values():
        if option.table is not None and name in options_of(option.table):
            return (*session, option.name, name)
    return None


def _unknown_variable(variable: str, home: Keys | None, table: Keys) -> str:
    if home is not None:
        near = [variable_of(home)]
    else:
        known = [*variables(), *OTHER_VARIABLES, *(variable_of((*table, name)) for name in names_at(table))]
        near = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
    hint = f"did you mean {near[0]}?" if near else f"{PREFIX} begins the names of settings: rename it, or unset it"
    return f"is no setting; {hint}"


def variable_of(keys: Keys) -> str:
    """The variable that sets an option."""
    return PREFIX + "__".join(keys).upper()


def variables() -> list[str]:
    """Every variable that does not name a device or a profile."""
    ways: list[Keys] = [(name,) for name in _MANAGER]
    for option in _SESSION.values():
        inner = options_of(option.table) if option.table is not None else {}
        ways += [("session", option.name), *(("session", option.name, name) for name in inner)]
    return [variable_of(way) for way in ways if way != ("session", "port")]
