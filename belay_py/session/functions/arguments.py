"""A call's arguments: checked against the function's signature on the host, and written for the board."""

from __future__ import annotations

import inspect
import keyword
from typing import TYPE_CHECKING, Any

from belay_py.errors import InvalidArguments
from belay_py.session.functions.literals import write

if TYPE_CHECKING:
    from collections.abc import Mapping


def written(name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return the arguments of a call as source. What is left out stays so: the board has the defaults.

    Raises `InvalidArguments`.
    """
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidArguments(f"{name}(): {error}; it is {name}{_shown(signature)}. Nothing was sent") from None
    given = [_write(name, f"argument {place}", value) for place, value in enumerate(bound.args, 1)]
    others: list[str] = []
    for key, value in bound.kwargs.items():
        text = _write(name, f"argument {key!r}", value)
        if key.isidentifier() and not keyword.iskeyword(key):
            given.append(f"{key}={text}")
        else:
            others.append(f"{write(key)}:{text}")
    if others:
        given.append(f"**{{{','.join(others)}}}")
    return ",".join(given)


def _write(name: str, which: str, value: Any) -> str:
    try:
        return write(value)
    except InvalidArguments as error:
        raise InvalidArguments(f"{which} of {name}(): {error}. Nothing was sent") from None


def _shown(signature: inspect.Signature) -> str:
    bare = [it.replace(annotation=inspect.Parameter.empty) for it in signature.parameters.values()]
    return str(inspect.Signature(bare))
