"""Where in the caller's source a piece of code stands, found after the fact from the calling frames."""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from belay_py.session.tracebacks import Source

if TYPE_CHECKING:
    from types import FrameType

_OURS = str(Path(__file__).parent.parent)
_CALL_LINES = 8  # how far below the line that a call is said to stand in its argument may begin
_FRAMES_LOOKED_AT = 8  # wrappers of an application around execute(); deeper the code was not written for this call


class _Literal(NamedTuple):
    value: str
    first: int
    last: int


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
        if frame.f_globals.get("__name__", "").startswith("asyncio."):
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
    wanted = code.strip("\n")
    candidates = [literal for literal in _literals(file) if _holds(literal, wanted, near)]
    if not wanted.strip() or not candidates:
        return None
    literal = min(candidates, key=lambda it: abs(it.first - near))
    value = literal.value if wanted in literal.value else textwrap.dedent(literal.value)
    skipped = value[: value.index(wanted)].count("\n") - (len(code) - len(code.lstrip("\n")))
    return Source(
        tuple(code.split("\n")),
        file,
        literal.first + (skipped if literal.last > literal.first else 0),
        whole=_lies_line_by_line(literal, value, linecache.getlines(file)),
    )


def _lies_line_by_line(literal: _Literal, value: str, source: list[str]) -> bool:
    """Whether each line of a text has a source line of its own, in order."""
    spans = literal.last - literal.first
    if spans == value.count("\n"):
        return spans > 0  # between triple quotes, with neither escaped line ends nor continuations
    # Several literals below each other.
    lines = value.rstrip("\n").split("\n")
    return len(lines) == spans + 1 and all(
        line.strip() in shown for line, shown in zip(lines, source[literal.first - 1 : literal.last], strict=True)
    )


def _holds(literal: _Literal, wanted: str, near: int) -> bool:
    # Part of a text may stand anywhere by chance; in the call's own lines, or as a whole, it does not.
    if literal.first - _CALL_LINES <= near <= literal.last + 1:
        return wanted in literal.value or wanted in textwrap.dedent(literal.value)
    return wanted in (literal.value.strip("\n"), textwrap.dedent(literal.value).strip("\n"))


def _literals(file: str) -> tuple[_Literal, ...]:
    return _parsed("".join(linecache.getlines(file)))


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> tuple[_Literal, ...]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        # SystemError: CPython 3.11's ast.parse loses count when a second thread parses meanwhile (seen).
        return ()
    return tuple(
        _Literal(node.value, node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
