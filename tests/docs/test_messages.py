"""The messages that docs/errors.md quotes are those of the code."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from belay_py import errors

from .blocks import ROOT
from .test_tables import table_rows

ELLIPSIS = "…"
ROWS = [row for row in table_rows("errors.md", "Message") if "as the board says them" not in row[0]]


def template(node: ast.JoinedStr | ast.Constant) -> str:
    """A string of the source; what an f-string puts in is left out as `…`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else ELLIPSIS for part in node.values)


@functools.cache
def strings() -> tuple[str, ...]:
    """Every string of the package's code; docstrings are none of it."""
    found = []
    for path in (ROOT / "belay_py").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            is_text = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
            if is_text and id(node) not in docstrings:
                assert isinstance(node, ast.JoinedStr | ast.Constant)
                found.append(template(node))
    return tuple(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_quoted_message_is_one_of_the_code(row: list[str]) -> None:
    quoted = row[0].strip("`")
    pattern = re.compile(".*".join(re.escape(piece) for piece in quoted.split(ELLIPSIS)), re.DOTALL)
    assert any(pattern.search(text) for text in strings()), f"{quoted!r} is nowhere in belay_py"


def test_every_class_has_a_message() -> None:
    named = {name for row in table_rows("errors.md", "Message") for name in re.findall(r"`(\w+)`", row[1])}
    there = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert named == there - {"BelayError"}
