"""Python's own parser, which CPython 3.11 lets fail at random.

It loses count of its depth, a SystemError, when other code parses meanwhile: another thread's, or a traceback that is
written while garbage is collected (both seen; python/cpython#106905 tells of the like).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_ATTEMPTS: Final = 10


def parse(text: str) -> ast.Module:
    """Return the syntax tree of a text. Raises what `ast.parse` raises, but for that SystemError."""
    return _again(ast.parse, text)


def literal(text: str) -> Any:
    """Return the value of a literal. Raises what `ast.literal_eval` raises, but for that SystemError."""
    return _again(ast.literal_eval, text)


def _again(read: Callable[[str], _T], text: str) -> _T:
    for _ in range(_ATTEMPTS):
        try:
            return read(text)
        except SystemError:
            continue
    raise ValueError("Python's own parser failed again and again (SystemError)")
