"""The source of a function of the host, and what of it can be seen to be wrong before anything is sent."""

from __future__ import annotations

import ast
import inspect
import tokenize
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from belay_py.errors import InvalidCode
from belay_py.session.functions.dialect import refuse_what_is_missing
from belay_py.session.parser import parse

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Lines:
    """The body of a function, line by line, as it is to be sent: without what the board does not need."""

    opening: str
    """What stands behind the header, in its line: a body that begins there."""
    opening_line: int
    """The file's line of that, or of the header."""
    rest: tuple[tuple[int, str, bool], ...]
    """The lines below: the file's line, the text, and whether it is inside of a string, where blanks count."""


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """A function as it stands in a file of the host."""

    file: str
    parameters: ast.arguments
    lines: Lines


def plain(function: Any) -> types.FunctionType:
    """Return the function itself. Raises `InvalidCode` for what is none that could run on a board."""
    if isinstance(function, staticmethod):
        function = function.__func__
    name = getattr(function, "__qualname__", None) or type(function).__name__
    if not isinstance(function, types.FunctionType):
        raise InvalidCode(f"{name} is no function that was written with def, so it has no source to send; write one")
    if function.__name__ == "<lambda>":
        raise InvalidCode("a lambda cannot be sent; write a function with def")
    if hasattr(function, "__wrapped__"):
        raise InvalidCode(
            f"{name} is wrapped by another decorator, which would not be there on the board; remove that, or put it "
            "above this one"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidCode(
            f"{name} is an async def; write a plain function, which runs what is asynchronous with asyncio.run(...)"
        )
    return function


def read(function: types.FunctionType) -> FunctionSource:
    """Find a function's source and check it. Raises `InvalidCode`."""
    name = function.__qualname__
    try:
        lines, first = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function) or function.__code__.co_filename
    except (SyntaxError, tokenize.TokenError):
        raise _changed(function) from None
    except (OSError, TypeError):
        raise _without_source(function) from None
    node, texts, first = _definition(function, lines, first)
    refuse_what_is_missing(node.body, f"{name} in {file}", first)
    return FunctionSource(file, node.args, _lines(node, texts, first))


def _definition(function: types.FunctionType, lines: list[str], first: int) -> tuple[ast.FunctionDef, list[str], int]:
    """Return the syntax tree of a function, the tree's lines, and the file's line of the first of them."""
    node: ast.stmt | None = None
    if lines[0][:1].isspace():  # in a block of its own no line has to be moved
        lines, first = ["if 1:\n", *lines], first - 1
    try:
        [node] = parse("".join(lines)).body
        if isinstance(node, ast.If):
            [node] = node.body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass  # what is told below
    if not isinstance(node, ast.FunctionDef) or node.name != function.__code__.co_name:
        raise _changed(function)
    return node, [line.rstrip("\r\n") for line in lines], first


def _without_source(function: types.FunctionType) -> InvalidCode:
    return InvalidCode(
        f"the source of {function.__qualname__} is not to be had: it was typed in or made by a program; put it into a "
        "file, or send it as text with execute()"
    )


def _changed(function: types.FunctionType) -> InvalidCode:
    if function.__code__.co_filename == "<string>":  # Python 3.13 has the text of ``python -c`` there
        return _without_source(function)
    return InvalidCode(
        f"what stands in {function.__code__.co_filename}, line {function.__code__.co_firstlineno} is not "
        f"{function.__qualname__}: the file was changed since it was imported; start the program anew"
    )


def _lines(node: ast.FunctionDef, texts: list[str], first: int) -> Lines:
    body = _without_docstring(node.body)
    if not body:
        return Lines("pass", first + node.lineno - 1, ())
    # Where a class or a function is the first statement, its decorators come before it.
    start = min([body[0].lineno, *(it.lineno for it in getattr(body[0], "decorator_list", ()))])
    before = texts[start - 1].encode()[: body[0].col_offset].decode()
    inside = _inside_of_strings(body)
    margin = texts[node.lineno - 1][: node.col_offset]
    opening, opening_line = "", node.lineno
    if before.strip():
        opening, opening_line = texts[start - 1][len(before) :], start
        start += 1
    rest = tuple(
        (first + number - 1, text if number in inside else text.removeprefix(margin), number in inside)
        for number, text in enumerate(texts[start - 1 : node.end_lineno], start)
        if number in inside
        or (text.strip() and not text.lstrip().startswith("#"))
        or texts[number - 2].endswith("\\")  # which goes on here, if only to end
    )
    return Lines(opening, first + opening_line - 1, rest)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())) as docstring, *others]:
            # Behind a semicolon in the docstring's own line, the next statement has no indentation to go by.
            if not others or others[0].lineno > (docstring.end_lineno or docstring.lineno):
                return others
    return body


def _inside_of_strings(body: list[ast.stmt]) -> set[int]:
    """Return the lines whose beginning is inside of a string, where every blank counts."""
    return {
        line
        for statement in body
        for node in ast.walk(statement)
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for line in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }


def loaded_globals(function: types.FunctionType) -> tuple[str, ...]:
    """Return the names that a function, and what is defined inside of it, looks up outside of itself."""
    import dis  # noqa: PLC0415  for programs with remote functions only

    found: dict[str, None] = {}
    todo = [function.__code__]
    while todo:
        code = todo.pop()
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                found[instruction.argval] = None
        todo += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return tuple(found)


def refuse_host_variables(function: types.FunctionType, is_remote: Callable[[object], bool]) -> None:
    """Raise `InvalidCode` for a variable of an enclosing function of the host: no board has that."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # it has no value yet: the function's own name, or one that comes later
            continue
        if not is_remote(value):
            raise InvalidCode(
                f"{function.__qualname__} uses {name}, a variable of the host's function around it, which the board "
                "does not have; pass it as an argument"
            )
