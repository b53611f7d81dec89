"""What the values of options must be, each rule as a test and in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from belay_py.errors import SettingsError
from belay_py.text import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Rule: TypeAlias = "tuple[Callable[[Any], bool], str]"


def is_number(value: Any) -> bool:
    """Whether it is a number, and not a switch: True is an int, and a slip as a duration."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_seconds(value: Any) -> bool:
    """Whether it is a duration that is not over at once; it may be infinite."""
    return is_number(value) and value > 0


def is_finite(value: Any) -> bool:
    """Whether it is a duration above 0 that a clock can hold."""
    return is_seconds(value) and value <= sys.float_info.max


def is_delay(value: Any) -> bool:
    """Whether it is a finite duration, 0 included."""
    return is_number(value) and 0 <= value <= sys.float_info.max


def is_whole(value: Any) -> bool:
    """Whether it is a whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_count(value: Any) -> bool:
    """Whether it is a whole number of at least 1."""
    return is_whole(value) and value >= 1


def is_switch(value: Any) -> bool:
    """Whether it is True or False."""
    return isinstance(value, bool)


def is_path(value: Any) -> bool:
    """Whether it is the path of a file, as text."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    return isinstance(path, str) and path != ""  # a PathLike may stand for bytes


def one_of(*names: str) -> Rule:
    """The rule for one of a few words."""
    return (lambda value: value in names, " or ".join(f'"{name}"' for name in names))


def or_none(rule: Rule) -> Rule:
    """The rule for what fits ``rule``, or is None."""
    fits, words = rule
    return (lambda value: value is None or fits(value), f"{words}, or None")


SECONDS: Final[Rule] = (is_seconds, "a number of seconds above 0")
FINITE: Final[Rule] = (is_finite, "a number of seconds above 0, and finite")
DELAY: Final[Rule] = (is_delay, "a number of seconds of at least 0, and finite")
TIMEOUT: Final[Rule] = (lambda value: is_number(value) and value >= 0, "a number of seconds, 0 or more")
COUNT: Final[Rule] = (is_count, "a whole number of at least 1")
WHOLE: Final[Rule] = (is_whole, "a whole number of at least 0")
SWITCH: Final[Rule] = (is_switch, "True or False")
TEXT: Final[Rule] = or_none((lambda value: isinstance(value, str), "text"))
PATH: Final[Rule] = or_none((is_path, "the path of a file"))
FUNCTION: Final[Rule] = or_none((callable, "a function"))
OPTIONS: Final[Rule] = (lambda value: isinstance(value, Mapping), "a mapping of options, such as {'idle_timeout': 60}")


def instance_of(kind: type[object]) -> Rule:
    """The rule for an object of one class."""
    return (lambda value: isinstance(value, kind), f"{kind.__name__}(...)")


def check(options: object, rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Hold each field against its rule. Raises `SettingsError` for the first that does not fit."""
    for name, rule in rules.items():
        require(prefix + name, getattr(options, name), rule)


def require(name: str, value: object, rule: Rule) -> None:
    """Hold one value against a rule. Raises `SettingsError`."""
    fits, wanted = rule
    if not fits(value):
        raise SettingsError(f"{name} is {shown(value)}; it must be {wanted}")


def check_text(name: str, value: str | None) -> None:
    """Refuse what is neither text nor None. Raises `SettingsError`."""
    require(name, value, TEXT)


def check_path(name: str, value: str | os.PathLike[str] | None) -> None:
    """Refuse what is neither a path nor None. Raises `SettingsError`."""
    require(name, value, PATH)


def check_device_id(value: object) -> None:
    """Refuse what cannot name a device. Raises `SettingsError`."""
    if not isinstance(value, str) or not value:
        raise SettingsError(f"device_id is {shown(value)}; it must be text, the name of the device")


def check_function(name: str, value: object) -> None:
    """Refuse what is neither to be called nor None. Raises `SettingsError`."""
    require(name, value, FUNCTION)


def check_names(given: Iterable[str], known: Iterable[str], *, means: Mapping[str, str], prefix: str = "") -> None:
    """Refuse names of options that there are not. ``means`` has right names for likely wrong ones.

    ``prefix`` is what stands before each name in the message.

    Raises `SettingsError` with the nearest right name.
    """
    right = list(known)
    for name in given:
        if name not in right:
            guess = f"did you mean {prefix + means[name]!r}?" if name in means else None
            hint = guess or did_you_mean(name, right, "the options are", prefix=prefix)
            raise SettingsError(f"there is no option {f'{prefix}{name}'!r}; {hint}")
