"""A remote function's return annotation: what its results are checked against, and turned into."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Final

from belay_py.errors import SettingsError
from belay_py.session.returns import validator

if TYPE_CHECKING:
    from collections.abc import Callable

_ITERATORS: Final = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)
# What comes back as one of these exactly is what pydantic would make of it, which is then not imported.
_EXACT: Final = (bool, int, float, str, bytes, types.NoneType)


def returned(function: types.FunctionType, *, of_generator: bool) -> Callable[[Any], Any] | None:
    """Return what turns results into what the annotation says; None where it says nothing.

    Of a generator it is what each value is turned into. Raises `SettingsError` for what is no type.
    """
    annotation = _annotation(function)
    if of_generator:
        annotation = _item(annotation)
    if annotation is inspect.Signature.empty or annotation is Any:
        return None
    if annotation in _EXACT:
        exact: Any = annotation
        return lambda value: value if type(value) is exact else validator(exact)(value)
    return validator(annotation)


def _annotation(function: types.FunctionType) -> Any:
    annotation = function.__annotations__.get("return", inspect.Signature.empty)
    if annotation is inspect.Signature.empty:
        return annotation

    # As text, under `from __future__ import annotations`, or with text in it. What is imported for type checkers only
    # is not there at run time; the names that everybody has for it are known here.
    known = {name: getattr(module, name) for module in (typing, collections.abc) for name in module.__all__}
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        hints = typing.get_type_hints(
            holder, {**known, **function.__globals__}, _enclosing(function), include_extras=True
        )
    except Exception as error:  # it is somebody's expression
        raise SettingsError(
            f"the return annotation {annotation!r} of {function.__qualname__} cannot be resolved ({error}); name a "
            "type that the function's module knows, or leave it out"
        ) from error
    return hints["return"]


def _enclosing(function: types.FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    return found


def _item(annotation: Any) -> Any:
    if typing.get_origin(annotation) in _ITERATORS:
        return typing.get_args(annotation)[0]
    return inspect.Signature.empty
