"""Where in the caller's source a piece of code stands, found after the fact from the calling frames."""

from __future__ import annotations

import ast
import functools
import io
import linecache
import os
import re
import sys
import textwrap
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from belay_py.session.tracebacks import Source, parsed

if TYPE_CHECKING:
    from types import FrameType

_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_FRAMES_LOOKED_AT = 8  # wrappers of an application around execute(); deeper the code was not written for this call
# A string token: its prefix and its quotes. And what its body is made of: escapes, line ends, and what is neither.
_OPENING = re.compile(r"([A-Za-z]*)(\"\"\"|'''|\"|')")
_PIECE = re.compile(r"\\(?:x..|[0-7]{1,3}|u.{4}|U.{8}|N\{[^}]*\}|.)|\n|[^\\\n]+", re.DOTALL)
_RAW_PIECE = re.compile(r"\n|[^\n]+")
_LINE_ENDS = frozenset(("\n", r"\n", r"\x0a", r"\12", r"\012", r"\u000a", r"\u0000000a"))  # in lower case
_CONTINUED = "\\\n"


class _Literal(NamedTuple):
    value: str
    statement: int
    """The line in which the statement begins that it is a part of."""
    first: int
    last: int
    node: ast.Constant

    def is_near(self, line: int) -> bool:
        """Whether it may be an argument of the call in a line."""
        return self.statement <= line <= self.last + 1


class _Match(NamedTuple):
    literal: _Literal
    line: int
    """The line of the literal's value, from 0, that is the code's first one with something in it."""
    entire: bool


def find_source(code: str | bytes, filename: str | Path | None = None) -> Source:
    """Return where code stands: in ``filename``, or in the source of one of the callers, or nowhere on the host."""
    if not isinstance(code, str):
        code = bytes(code).decode("utf-8", "replace")
    lines = tuple(code.split("\n"))
    if filename is not None:
        return Source(lines, os.fspath(filename))
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  the standard library's own way to the caller
    looked_at = 0
    while frame is not None and looked_at < _FRAMES_LOOKED_AT:
        file = frame.f_code.co_filename
        module = frame.f_globals.get("__name__")
        if isinstance(module, str) and module.startswith("asyncio."):
            break  # the event loop: whoever called is in another thread or task
        if not file.startswith(_OURS):
            looked_at += 1
            found = _find_in(file, code, frame.f_lineno)
            if found is not None:
                return found
        frame = frame.f_back
    return Source(lines)


def _find_in(file: str, code: str, near: int) -> Source | None:
    """Look for the string literal that the code came from, the nearest to a line if there are several."""
    shape = _shape(code)
    wanted = _trimmed(shape)
    longest = max(wanted, key=len).strip()
    if not longest:
        return None
    text = "".join(linecache.getlines(file))
    candidates = [
        match
        for literal in _literals(text)
        if longest in literal.value and (match := _match(literal, wanted, near)) is not None
    ]
    if not candidates:
        return None
    best = min(candidates, key=lambda it: (not it.literal.is_near(near), not it.entire, abs(it.literal.first - near)))
    begins = _begins(best.literal, text)
    skipped = best.line - next(number for number, line in enumerate(shape) if line)
    last = len(begins) - 1
    host_lines = tuple(begins[min(max(number + skipped, 0), last)] for number in range(len(shape)))
    return Source(tuple(code.split("\n")), file, host_lines)


def _shape(text: str) -> list[str]:
    """Return a text's lines without what callers often remove before they pass it on."""
    return [line.rstrip() for line in textwrap.dedent(text).split("\n")]


def _trimmed(shape: list[str]) -> list[str]:
    return "\n".join(shape).strip("\n").split("\n")


def _match(literal: _Literal, wanted: list[str], near: int) -> _Match | None:
    """Return where in a literal the lines stand: some of its lines in the call's own, all of them anywhere.

    Never in a part of a line: `print("calls main()")` above is not where a `main()` that somebody made up comes from.
    """
    lines = _shape(literal.value)
    entire = _trimmed(lines) == wanted
    if not entire and not literal.is_near(near):
        return None
    for line in range(len(lines) - len(wanted) + 1):
        if lines[line : line + len(wanted)] == wanted:
            return _Match(literal, line, entire)
    return None


def _begins(literal: _Literal, text: str) -> list[int]:
    """Return the source line in which each line of a literal's value begins; the first one for all that is unclear."""
    unclear = [literal.first] * (literal.value.count("\n") + 1)
    written = f"({ast.get_source_segment(text, literal.node)})"
    match parsed(written):
        case ast.Module(body=[ast.Expr(value=ast.Constant(value=literal.value))]):
            pass
        case _:  # in an f-string
            return unclear
    begins: list[int] = []
    line, at_begin = literal.first, True
    for token in tokenize.generate_tokens(io.StringIO(written).readline):
        opening = _OPENING.match(token.string) if token.type == tokenize.STRING else None
        if opening is None:
            continue
        line = literal.first + token.start[0] - 1
        pieces = _RAW_PIECE if "r" in opening[1].lower() else _PIECE
        for piece in pieces.findall(token.string[opening.end() : -len(opening[2])]):
            if piece != _CONTINUED:
                if at_begin:
                    begins.append(line)
                at_begin = piece.lower() in _LINE_ENDS
            line += piece.count("\n")
    if at_begin:
        begins.append(line)
    return begins if len(begins) == len(unclear) else unclear


@functools.lru_cache(maxsize=8)
def _literals(text: str) -> tuple[_Literal, ...]:
    found: list[_Literal] = []
    todo: list[tuple[ast.AST, int]] = [(parsed(text) or ast.Module([], []), 0)]
    while todo:
        node, statement = todo.pop()
        if isinstance(node, ast.stmt):
            statement = node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(_Literal(node.value, statement, node.lineno, node.end_lineno or node.lineno, node))
        # What stands beside the braces of an f-string is sent by nobody as it stands.
        skipped = isinstance(node, ast.JoinedStr) and len(node.values) > 1
        todo += [(it, statement) for it in ast.iter_child_nodes(node) if not (skipped and isinstance(it, ast.Constant))]
    return tuple(found)
