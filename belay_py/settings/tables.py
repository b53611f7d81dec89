"""The tables of ``belay.toml`` as pydantic models, made from the options' dataclasses: there is no second list of them.

Each value is read from text where it is text, and then held against the dataclass that it will end in, so that a file
refuses exactly what code refuses, in the same words.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from belay_py.durations import parse_duration
from belay_py.errors import SettingsError
from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions

_SWITCHES: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_USB: Final = re.compile(r"(?:usb:)?[0-9a-f]{1,4}:[0-9a-f]{1,4}(?::.+)?", re.IGNORECASE)
_LARGEST: Final = 2**63 - 1
"""What TOML asks programs to hold (its specification, "Integer"); the text of larger ones can be any length."""


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an options dataclass: ``kind`` is its type without None, ``table`` what it is a table of."""

    home: type[Any]
    name: str
    hint: Any
    kind: Any
    optional: bool
    table: type[Any] | None
    default: Any

    @property
    def is_duration(self) -> bool:
        """Whether it is in seconds, as all numbers of the options are that need not be whole."""
        return self.kind is float


_known: Final[dict[type[Any], dict[str, Option]]] = {}


def options_of(home: type[Any]) -> dict[str, Option]:
    """The options that a dataclass has, by name and in its order."""
    if home not in _known:
        # The modules import these two for type checkers only.
        names = {**vars(sys.modules[home.__module__]), "os": os, "Mapping": Mapping}
        hints = typing.get_type_hints(home, names)
        _known[home] = {field.name: _option(home, field, hints[field.name]) for field in dataclasses.fields(home)}
    return _known[home]


def _option(home: type[Any], field: dataclasses.Field[Any], hint: Any) -> Option:
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [part for part in parts if part is not types.NoneType]
    kind = kinds[0]
    default = field.default
    if default is MISSING and field.default_factory is not MISSING:
        default = field.default_factory()
    table = kind if dataclasses.is_dataclass(kind) and isinstance(kind, type) else None
    return Option(home, field.name, hint, kind, len(kinds) < len(parts), table, default)


# ---- One value ----


def read(option: Option, value: Any) -> Any:
    """Return the value that was meant. Raises `SettingsError` with what is wrong, without the option's name."""
    if isinstance(value, str):
        value = _from_text(option, value)
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise SettingsError("is too large a number")
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            if not isinstance(item, str) or not item:
                raise SettingsError(f"has {item!r} in it; each must be a name")
        value = tuple(value)
    if typing.get_origin(option.kind) in {frozenset, tuple} and not isinstance(value, tuple):
        raise SettingsError(f'is {value!r}; it must be a list of names, such as ["pico", "left"]')
    _check(option, value)
    return value


def _from_text(option: Option, text: str) -> Any:
    word = text.strip().lower()
    if option.optional and (word == "none" or (word in {"never", "inf"} and option.is_duration)):
        return None
    if option.is_duration:
        return parse_duration(text)
    if option.kind is bool:
        return _SWITCHES.get(word, text)
    if option.kind is int:
        return int(word) if _WHOLE.fullmatch(word) else text
    if typing.get_origin(option.kind) in {frozenset, tuple}:
        return tuple(name.strip() for name in text.split(",") if name.strip())
    return text


def _check(option: Option, value: Any) -> None:
    needed = {"port": "virtual:"} if option.home is DeviceSessionOptions else {}
    if option.name == "warm_up":
        return  # only together with the devices can it be told
    try:
        option.home(**{**needed, option.name: value})
    except SettingsError as error:
        # "communication.chunk is 0; ..." without the name: the place is told better by who knows the file.
        said = re.sub(rf"^(\w+\.)?{option.name} (?=is |has )", "", str(error))
        raise SettingsError(said + (', such as 90 or "5m"' if option.is_duration else "")) from None


def _read_table(value: Any) -> Any:
    """A table that may be missing: ``true`` takes it with its defaults, ``false`` and ``"none"`` do without."""
    if isinstance(value, str):
        word = value.strip().lower()
        value = None if word == "none" else _SWITCHES.get(word, value)
    if isinstance(value, bool):
        return {} if value else None
    return value


# ---- The models ----


class Table(BaseModel):
    """What all tables have in common: a key that they do not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def fields_of(home: type[Any], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The definitions of a model's fields, as `pydantic.create_model` takes them."""
    return {name: _field(option) for name, option in options_of(home).items() if name not in leave_out}


def _field(option: Option) -> tuple[Any, Any]:
    if option.table is None:
        return Annotated[option.hint, BeforeValidator(functools.partial(read, option))], option.default
    model = _model_of(option.table)
    if option.optional:
        return Annotated[model | None, BeforeValidator(_read_table)], None
    return model, Field(default_factory=model)


def _model_of(home: type[Any]) -> type[Table]:
    return create_model(home.__name__.removesuffix("Options") + "Table", __base__=Table, **fields_of(home))


OF_MANAGER: Final = fields_of(DeviceSessionManagerOptions, ("defaults", "profiles", "devices"))
"""The options at the top of the file."""

SessionTable: Final[type[Table]] = create_model(
    "SessionTable", __base__=Table, **fields_of(DeviceSessionOptions, ("port",))
)
"""``[session]`` and ``[profiles.NAME]``: options of sessions, without a port."""


def _read_port(value: Any) -> Any:
    return read(options_of(DeviceSessionOptions)["port"], value)


def _read_usb(value: Any) -> Any:
    if not isinstance(value, str) or not _USB.fullmatch(value):
        raise SettingsError(f'is {value!r}; it must be VID:PID or VID:PID:SERIAL, such as "2E8A:0005"')
    return value


def _read_name(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise SettingsError(f'is {value!r}; it must be the name of a profile, such as "slow" for [profiles.slow]')
    return value


class _Device(Table):
    port: Annotated[str | None, BeforeValidator(_read_port)] = None
    usb: Annotated[str | None, BeforeValidator(_read_usb)] = None
    profile: Annotated[str | None, BeforeValidator(_read_name)] = None

    @model_validator(mode="after")
    def _one_way_to_the_board(self) -> Self:
        if (self.port is None) == (self.usb is None):
            said = "has both a port and usb; keep one" if self.port is not None else "has no port; add one"
            raise SettingsError(f'{said}, such as port = "/dev/ttyACM0" or usb = "2E8A:0005:E6614C311B6A4B2A"')
        return self


DeviceTable: Final[type[Table]] = create_model(
    "DeviceTable", __base__=_Device, **fields_of(DeviceSessionOptions, ("port",))
)
"""``[devices.NAME]``: a board by name, by ``port`` or ``usb``, the profile that it follows, and options on top."""


def usb_port(usb: str) -> str:
    """The port that finds the board with these numbers."""
    return usb if usb.lower().startswith("usb:") else f"usb:{usb}"
