"""CPython 3.11's own parser fails at random when other code parses meanwhile; nobody is to see that."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from belay_py.session import parser


class FailsAtFirst:
    """A parser that fails some times before it works."""

    def __init__(self, times: int, work: Any) -> None:
        self.left, self.work = times, work

    def __call__(self, text: str) -> Any:
        if self.left:
            self.left -= 1
            raise SystemError("AST constructor recursion depth mismatch (before=61, after=63)")
        return self.work(text)


@pytest.mark.parametrize("name", ["parse", "literal_eval"])
def test_it_is_tried_again_and_in_the_end_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"parse": parser.parse, "literal_eval": parser.literal}[name]
    work = getattr(ast, name)
    monkeypatch.setattr(ast, name, FailsAtFirst(3, work))
    assert ast.dump(ast.Expression(ours("1 + 2j"))) if name == "parse" else ours("[1]") == [1]
    monkeypatch.setattr(ast, name, FailsAtFirst(10**6, work))
    with pytest.raises(ValueError, match="again and again"):
        ours("1")


@pytest.mark.parametrize("text", ["(", "a", "1 +"])
def test_what_is_wrong_in_a_text_is_told(text: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        parser.literal(text)
