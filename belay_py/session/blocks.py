"""Code whose last statement is an expression, taken apart where that begins.

The host parses: MicroPython's syntax is a subset of Python's. What is sent keeps every line where the caller wrote it,
so that the line numbers of tracebacks are the caller's own.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import lru_cache

from belay_py.errors import InvalidCode
from belay_py.session.execution import encode_code
from belay_py.session.parser import parse
from belay_py.text import short

_SIMPLE = (
    ast.Assert, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Delete, ast.Expr, ast.Global, ast.Import, ast.ImportFrom,
    ast.Pass, ast.Raise,
)  # fmt: skip
"""Statements that may stand behind another one and a semicolon."""
_SHOWN = 80
"""Longer code is cut in messages."""


@dataclass(frozen=True, slots=True)
class Block:
    """Statements, perhaps none, and the expression that they end in, as the bytes to send."""

    before: bytes
    """All that stands before the expression, up to its first character."""
    expression: bytes
    first: int | None
    """Where a name can be looked up before anything is run, without moving a line; None where there is no such place.

    An expression alone needs none, and has the place right before it: what it is passed to is looked up first.
    """
    look: bytes
    """What is written there around the name: a `%s` and what keeps it apart."""

    def calling(self, function: str, *, look_up: str = "") -> bytes:
        """Return the code that runs the statements and passes the expression to a function.

        ``function`` is the beginning of a call, such as ``print(repr``; its open brackets are closed behind.
        ``look_up`` is a name to look up at `first`.
        """
        before = self.before
        if look_up and self.first is not None:
            before = before[: self.first] + self.look.replace(b"%s", look_up.encode()) + before[self.first :]
        return before + function.encode() + b"(" + self.expression + b")" * (function.count("(") + 1)


def expression(source: bytes) -> Block:
    """Return an expression that needs no taking apart, since it was written by code of ours."""
    return Block(b"", source, 0, b"")


def split(code: str | bytes) -> Block:
    """Take code apart. Raises `InvalidCode` when its last statement is no expression, or when it is no code."""
    return _split(encode_code(code))


@lru_cache(maxsize=64)
def _split(source: bytes) -> Block:
    data = source.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidCode(f"line {line} is not UTF-8; evaluate() needs text") from None
    text, body = _parse(text)
    data = text.encode()
    if not body:
        raise InvalidCode("there is no code to evaluate; pass an expression, or statements that end in one")
    last = body[-1]
    if not isinstance(last, ast.Expr):
        raise InvalidCode(
            f"the last statement (line {last.lineno}) is {_kind(last)} and has no value{_advice(last)}; "
            "to run statements only, use execute()"
        )
    _refuse_await(body)
    starts = _line_starts(data)
    assert last.end_lineno is not None  # the parser sets it
    assert last.end_col_offset is not None  # the same
    begin = starts[last.lineno - 1] + last.col_offset
    end = starts[last.end_lineno - 1] + last.end_col_offset
    first, look = _place_to_look(body, data, starts)
    return Block(data[:begin], data[begin:end], first, look)


def _parse(text: str) -> tuple[str, list[ast.stmt]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes, which are the board's affair
        try:
            # Blanks before the first line do no harm to an expression, and are easily copied along.
            text = text.lstrip(" \t\f") if text.strip() else ""
            try:
                return text, parse(text).body
            except IndentationError as error:
                return _indented_expression(text, error)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            line = f"line {error.lineno}: " if isinstance(error, SyntaxError) and error.lineno else ""
            reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
            raise InvalidCode(
                f"{_shown(text)} is not an expression, nor statements that end in one ({line}{reason}); "
                "run statements with execute()"
            ) from None


def _indented_expression(text: str, error: IndentationError) -> tuple[str, list[ast.stmt]]:
    """Parse an expression on a line of its own; for more, indentation has a meaning that nobody should guess."""
    blanks = text[: len(text) - len(text.lstrip())]
    bare = "\n" * blanks.count("\n") + text.strip()
    try:
        body = parse(bare).body
    except SyntaxError:
        body = []
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return bare, body
    error.msg += "; textwrap.dedent() removes it"
    raise error


def _line_starts(data: bytes) -> list[int]:
    starts = [0]
    for line in data.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _place_to_look(body: list[ast.stmt], data: bytes, starts: list[int]) -> tuple[int | None, bytes]:
    first = body[0]
    begin = starts[first.lineno - 1] + first.col_offset
    first_line = data[: starts[1] - 1].strip()
    if len(body) == 1:
        return begin, b""
    if not first_line or first_line.startswith(b"#"):
        return 0, b"%s "
    if isinstance(first, _SIMPLE):
        return begin, b"%s;"
    return None, b""


def _refuse_await(body: list[ast.stmt]) -> None:
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            raise InvalidCode(
                f"line {node.lineno} awaits outside of a function, which MicroPython cannot; "
                "write asyncio.run(...) around it"
            )
        todo.extend(ast.iter_child_nodes(node))


def _kind(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return "an assignment"
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"the definition of {statement.name}"
    return f"`{type(statement).__name__.lower().removesuffix('from')}`"


def _advice(statement: ast.stmt) -> str:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AugAssign(target=ast.Name(id=name)):
            return f"; add a line with the name alone: {name}"
        case ast.AnnAssign(target=ast.Name(id=name)):
            return f"; add a line with the name alone: {name}"
        case _:
            return "; add a line with the expression whose value is wanted"


def _shown(text: str) -> str:
    return repr(short(text.strip(), _SHOWN))
