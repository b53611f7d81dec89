"""Values from the board: an expression is evaluated there, its `repr` read here, and nothing is ever `eval`-ed.

The value's text follows a marker with a nonce, so that what the expression itself prints cannot be mistaken for it.
"""

from __future__ import annotations

import ast
import secrets

from belay_py.errors import InvalidCode, ValueNotSupported

# `repr` writes these without quotes; they are values all the same.
_FLOAT_WORDS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


class Evaluation:
    """One expression to evaluate. Raises `InvalidCode` for what is not one expression."""

    __slots__ = ("_marker", "code")

    def __init__(self, expression: str) -> None:
        expression = expression.strip()
        try:
            ast.parse(expression, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise InvalidCode(
                f"{_short(expression)} is not one expression ({_reason(error)}); run statements with execute()"
            ) from None
        self._marker = f"\x1e{secrets.token_hex(4)}:"
        # The line break ends a comment in the expression; the parentheses allow it to span lines.
        self.code = f"print({self._marker!r}+repr((\n{expression}\n)))"

    def value(self, output: bytes) -> object:
        """Return the value from what the execution wrote. Raises `ValueNotSupported` for one without a literal form."""
        text = output.rpartition(self._marker.encode())[2].decode("utf-8", "replace").strip("\r\n")
        if text in _FLOAT_WORDS:
            return _FLOAT_WORDS[text]
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise ValueNotSupported(
                f"the value {_short(text)} has no literal form that can be sent; "
                "evaluate str(...) of it, or a tuple of the parts you need"
            ) from None


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
