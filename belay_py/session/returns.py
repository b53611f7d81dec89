"""``returns=``: a value from the board becomes what its caller declared, or a one-line error says why not.

The work is pydantic's, which is imported on first use: a session that never asks for it does not pay for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from belay_py.errors import SettingsError, UnexpectedValue
from belay_py.text import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import TypeAdapter, ValidationError


def validator(returns: Any) -> Callable[[Any], Any]:
    """Return what turns a value into ``returns``: a type, dataclass, TypedDict, NamedTuple, model, generic, union.

    Raises `SettingsError` when it is nothing that pydantic can make a value of. What is returned raises
    `UnexpectedValue`.
    """
    try:
        # A union equals the one with its members in another order, but is not tried in the same order.
        adapter = _cached_adapter(returns, repr(returns))
    except TypeError:  # it cannot be hashed: Annotated with a list, for one
        adapter = _adapter(returns)

    def validate(value: Any) -> Any:
        from pydantic import ValidationError  # noqa: PLC0415  loaded only when used

        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise UnexpectedValue(_message(error, returns), value=value) from error

    return validate


@lru_cache(maxsize=128)
def _cached_adapter(returns: Any, _text: str) -> TypeAdapter[Any]:
    return _adapter(returns)


def _adapter(returns: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # noqa: PLC0415  loaded only when used

    if isinstance(returns, str):
        raise SettingsError(f"returns is the text {returns!r}; pass the type itself")
    try:
        adapter = TypeAdapter(returns)
        if not getattr(adapter, "pydantic_complete", True):  # new in 2.10; before, the line above raised
            raise NameError("it refers to a type by a name that is not known here")
    except Exception as error:  # what building a schema raises depends on the type's own code
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise SettingsError(
            f"returns={_name(returns)} is not a type that values can be validated into ({reason}); "
            "pass a type, a dataclass, a TypedDict, a NamedTuple or a pydantic model"
        ) from error
    return adapter


def _name(returns: Any) -> str:
    return returns.__name__ if isinstance(returns, type) and not hasattr(returns, "__origin__") else repr(returns)


def _message(error: ValidationError, returns: Any) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=True)
    first = faults[0]
    where = "".join(f".{part}" if isinstance(part, str) else f"[{part}]" for part in first["loc"]).lstrip(".")
    expected = first["msg"].replace("\n", " ")
    came = "" if first["type"] == "missing" else f", not {_shown(first['input'])}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    place = f"field {where}: " if where else ""
    return f"the value is not a {_name(returns)}: {place}{expected[:1].lower()}{expected[1:]}{came}{more}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more than 4,300 digits
        return f"this {type(value).__name__}"
    return short(text)
