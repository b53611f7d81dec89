"""Blocks: statements that end in an expression, in whatever way they are written, and what they leave behind."""

from __future__ import annotations

import ast
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import ExecutionError, InvalidCode
from belay_py.session import blocks
from belay_py.sync import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.virtual import BoardProcess


@pytest.fixture(scope="module")
def session(direct_board: BoardProcess) -> Iterator[DeviceSession]:
    with DeviceSession(direct_board.port) as session:
        yield session


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 1", 2),
        ("  1 + 1  ", 2),
        ("\t1", 1),
        ("\n  1\n", 1),
        ("1 # comment", 1),
        ("1;", 1),
        ("1 ; # comment", 1),
        ("# comment\n1", 1),
        ("1\n# comment\n\n", 1),
        ("1, 2", (1, 2)),
        ("(1,\n 2)", (1, 2)),
        ("(1) + (2)", 3),
        ("(\n1\n)", 1),
        ("[ # comment\n1\n]", [1]),
        ("1 + \\\n1", 2),
        ("'''a\nb'''", "a\nb"),
        ("'''a\r\nb'''", "a\nb"),
        ("x = 1\nx", 1),
        ("x = 1; x", 1),
        ("x = 1; y = 2; x, y;", (1, 2)),
        ("x = 1\r\nx\r\n", 1),
        ("x = 1\rx", 1),
        ("x = '''\n'''; x", "\n"),
        ("x = 'é€😀'; x + 'é'", "é€😀é"),
        ("'é' ; 'é'", "é"),
        ("x = (1,\n2)\n(x)", (1, 2)),
        ("x = 1 + \\\n 1\nx", 2),
        ("\\\nx = 1\nx", 1),
        ("\fx = 1\nx", 1),
        ("# coding: latin-1\nx = 'é'\nx", "é"),
        ("if True:\n\tx = 3\nx", 3),
        ("if True: x = 3\nx", 3),
        ("for i in range(3):\n    pass\ni", 2),
        ("for i in range(3):\n    pass\n\n# comment\ni\n", 2),
        ("def f():\n    return 4\nf()", 4),
        ("def d(f): return 5\n@d\ndef f(): pass\nf", 5),
        ("@property\ndef f(): pass\n1", 1),
        ("class A:\n    x = 6\nA.x", 6),
        ("try:\n    1/0\nexcept ZeroDivisionError:\n    x = 7\nx", 7),
        ("import sys\nsys.platform", "webassembly"),
        ("'docstring'\n8", 8),
        ("'''doc\nstring''';9", 9),
        ("(n for n in ())\n(lambda: 1)()", 1),
        ("'\\d'", "\\d"),
        ("async def f():\n    await g()\n1", 1),
        ("global x; x = 2\nx", 2),
        (b"x = '\xc3\xa9'\nx", "é"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_value_is_that_of_the_last_expression(session: DeviceSession, code: str | bytes, value: object) -> None:
    assert session.evaluate(code) == value


def test_names_stay_on_the_board(session: DeviceSession) -> None:
    session.evaluate("stays = 1\ndef also(): return stays\nstays")
    assert session.evaluate("stays = 2\nalso()") == 2
    assert session.execute("print(stays)").output == "2\n"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("1/0", 1),
        ("\n\n1/0", 3),
        ("x = 0\n1/x", 2),
        ("1/0\n1", 1),
        ("x = 1; 1/0; 2", 1),
        ("# comment\n\n1/0\n1", 3),
        ("for i in (1, 0):\n    x = 1/i\nx", 2),
        ("'''\n\n'''\n1/0\n3", 4),
        ("def f():\r\n    1/0\r\n\r\nf()", 4),
        ("\ndef f():\n    1/0\nf()", 4),
    ],
)
def test_tracebacks_have_the_lines_of_the_caller(session: DeviceSession, code: str, line: int) -> None:
    with pytest.raises(ExecutionError, match="ZeroDivisionError") as caught:
        session.evaluate(code)
    assert caught.value.traceback.splitlines()[1] == f'  File "<stdin>", line {line}, in <module>'


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", "there is no code to evaluate; pass an expression"),
        (" \n\t\n", "there is no code"),
        ("# only a comment\n", "there is no code"),
        ("x = 1", r"the last statement \(line 1\) is an assignment .* name alone: x; .* execute\(\)"),
        ("a\nx: int = 1", r"line 2\) is an assignment .* name alone: x"),
        ("x += 1", "name alone: x"),
        ("x[0] = 1", "is an assignment .* add a line with the expression"),
        ("1\nif True:\n    1", r"\(line 2\) is `if` and has no value"),
        ("def f(): return 1", "is the definition of f"),
        ("from os import path", "is `import`"),
        ("1\npass", "is `pass`"),
        ("x = = 1", "'x = = 1' is not an expression.*line 1: invalid syntax.*execute"),
        ("1\n  2", r"line 2: unexpected indent; textwrap.dedent\(\) removes it"),
        ("\n  x = 1\n  x", "unexpected indent"),
        ("1) + (2", r"unmatched '\)'"),
        ("(" * 5000, "is not an expression"),
        ("await x", "line 1 awaits outside of a function"),
        ("x = 1\n[await y for y in z]", "line 2 awaits"),
        ("async with a: pass\n1", "line 1 awaits"),
        (b"1\n'\xff'", "line 2 is not UTF-8"),
        ("1\n'\x04'", "line 2 holds the control character"),
        ("'\ud800'", "surrogate"),
    ],
)
def test_what_has_no_value_is_refused_before_anything_is_sent(
    session: DeviceSession, code: str | bytes, message: str
) -> None:
    used = session.last_used
    with pytest.raises(InvalidCode, match=message) as caught:
        session.evaluate(code)
    assert "\n" not in str(caught.value)
    assert session.last_used == used


lines = st.sampled_from(
    [
        "x = 1",
        "x",
        "'é'",
        "if x: y",
        "# ü",
        "",
        "\x0c",
        "(x,\n'€')",
        "x; y",
        "y = '''a\nb'''; z",
        "def f():\n\treturn x",
        "@f",
        "\\",
        "x = \\\n 2",
        "'😀' + x",
        "  ",
        "\\\n",
        "for i in x:\n  y\nelse: z",
        "x;",
        "1 # c",
        "\tx",
    ]
)


@settings(max_examples=500)
@given(parts=st.lists(lines, max_size=6), ending=st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_split_is_where_the_expression_begins_and_moves_no_line(parts: list[str], ending: str) -> None:
    code = ending.join(parts)
    try:
        block = blocks.split(code)
    except InvalidCode:
        return
    before = ast.parse(block.calling("f", look_up="name"))
    try:
        whole = ast.parse(code.lstrip(" \t\f"))
    except IndentationError:  # an expression on a line of its own may be indented
        whole = ast.parse("\n" * block.before.count(b"\n") + code.strip())
    last = before.body[-1]
    assert isinstance(last, ast.Expr)
    assert isinstance(last.value, ast.Call)
    assert isinstance(whole.body[-1], ast.Expr)
    assert ast.dump(last.value.args[0]) == ast.dump(whole.body[-1].value)
    others = [node for node in before.body[:-1] if ast.dump(node) != "Expr(value=Name(id='name', ctx=Load()))"]
    assert [ast.dump(node) for node in others] == [ast.dump(node) for node in whole.body[:-1]]
    assert [node.lineno for node in (*others, last)] == [node.lineno for node in whole.body]
    assert (len(others) < len(before.body) - 1) == (len(whole.body) > 1 and block.first is not None)


@settings(max_examples=500)
@given(code=st.text(string.printable + "é\u2028") | st.text() | st.binary())
def test_code_of_any_kind_is_split_or_refused(code: str | bytes) -> None:
    try:
        blocks.split(code)
    except InvalidCode as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message
