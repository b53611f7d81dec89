"""What Python has and MicroPython lacks, as far as that is certain: each of these is a SyntaxError on MicroPython 1.29.

Whatever else a board does not take it says by itself, with the host's line. The functions' own headers are not looked
at: they are written anew for the board.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from belay_py.errors import InvalidCode

if TYPE_CHECKING:
    from collections.abc import Iterable

# Python 3.11 does not know the last of them.
_STATEMENTS: Final[dict[str, str]] = {
    "Match": "`match`; use if and elif",
    "TryStar": "`except*`; use except",
    "TypeAlias": "`type`; assign the type, or leave it out",
}
_COPY: Final = "; use `list(...)`, `+` or `update()`"


def refuse_what_is_missing(statements: Iterable[ast.stmt], where: str, first_line: int) -> None:
    """Raise `InvalidCode` for what no board takes. ``first_line`` is the file's for the tree's first one."""
    for statement in statements:
        for node in ast.walk(statement):
            if (missing := _missing(node)) is not None:
                place = node.target if isinstance(node, ast.comprehension) else node
                line = getattr(place, "lineno", 1) + first_line - 1
                raise InvalidCode(f"{where}, line {line}: MicroPython has no {missing}")


def _missing(node: ast.AST) -> str | None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if node.args.posonlyargs:
            return "parameters that are positional only (`/`); leave it out"
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if getattr(node, "type_params", ()):
            return "type parameters; leave them out"
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set() if _unpacks(node.elts):
            return f"`*` inside of a list, tuple or set{_COPY}"
        case ast.Dict(keys=keys) if None in keys:
            return f"`**` inside of a dict{_COPY}"
        case ast.comprehension(is_async=1):
            return "`async for` inside of brackets; use a loop"
    return _STATEMENTS.get(type(node).__name__)


def _unpacks(items: Iterable[ast.expr]) -> bool:
    return any(isinstance(item, ast.Starred) for item in items)
