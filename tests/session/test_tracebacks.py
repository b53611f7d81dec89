"""Device exceptions, told in the host's files, lines and classes."""

from __future__ import annotations

import linecache
import os
import pickle
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

import belay_py
from belay_py import DeviceFrame, DeviceSession, ExecutionError, InvalidCode
from belay_py.session.snippets import find_source
from belay_py.session.tracebacks import Source, execution_error, host_exception
from belay_py.sync import DeviceSession as BlockingSession

HERE = __file__
PACKAGE = Path(belay_py.__file__).parent
AT_THE_TOP = """
def at_the_top():
    return [][5]
at_the_top()
"""


def line_of(text: str) -> int:
    """The last line of this file that holds a text, apart from the asserts that ask for it."""
    lines = Path(HERE).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if text in line and "line_of" not in line)


def places(error: ExecutionError) -> list[tuple[str | None, int | None, str]]:
    return [(frame.host_file, frame.host_line, frame.function) for frame in error.frames]


async def test_a_snippet_points_into_the_callers_file(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(
                """
                blink = 1
                def on():
                    raise ValueError("led")  # this line

                on()  # and this one
            """.replace("\n                ", "\n")
            )  # the caller dedents
    error = caught.value
    assert (error.type, error.message) == ("ValueError", "led")
    assert isinstance(error.__cause__, ValueError)
    assert [frame.line for frame in error.frames] == [6, 4]
    assert "line 6" in error.traceback


async def test_a_snippet_as_it_stands_points_into_the_callers_file(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(
                """
def inner():
    return 1 // 0  # divides
inner()  # calls
"""
            )
    error = caught.value
    assert places(error) == [
        (HERE, line_of("inner()  # calls"), "<module>"),
        (HERE, line_of("return 1 // 0  # divides"), "inner"),
    ]
    assert isinstance(error.__cause__, ZeroDivisionError)
    printed = "".join(traceback.format_exception(error))
    assert f'  File "{HERE}", line {line_of("return 1 // 0  # divides")}, in inner\n    return 1 // 0' in printed


async def test_a_constant_of_the_module_and_one_line_of_code(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(AT_THE_TOP)
        assert places(caught.value)[-1] == (HERE, line_of("return [][5]"), "at_the_top")
        assert isinstance(caught.value.__cause__, IndexError)
        with pytest.raises(ExecutionError) as caught:
            await session.execute("undefined_thing")
        assert places(caught.value) == [(HERE, line_of('session.execute("undefined_thing")'), "<module>")]


async def test_code_that_stands_nowhere_keeps_its_own_lines(port: str) -> None:
    code = "\n".join(["x = 1", "raise TypeError('made " + "up')"])
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute(code)
    assert places(caught.value) == [(None, None, "<module>")]
    assert caught.value.frames == (DeviceFrame("<stdin>", 2, "<module>"),)
    assert caught.value.host_traceback.splitlines()[1:3] == [
        '  File "<stdin>", line 2, in <module>',
        "    raise TypeError('made up')",
    ]


async def test_a_host_file_that_was_run(port: str, tmp_path: Path) -> None:
    file = tmp_path / "blink.py"
    file.write_text("def f():\n    open('/nothing')\n\nf()\n")
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.run(file)
        assert places(caught.value) == [(str(file), 4, "<module>"), (str(file), 2, "f")]
        assert isinstance(caught.value.__cause__, FileNotFoundError)
        file.write_text("print('fine')\n")
        assert (await session.run(str(file))).output == "fine\n"
        with pytest.raises(InvalidCode, match="cannot read .*; name a file"):
            await session.run(tmp_path / "nothing.py")
        with pytest.raises(ExecutionError) as caught:
            async for _ in session.stream("\n\n1/0", filename="shown.py"):
                pass
        assert places(caught.value) == [("shown.py", 3, "<module>")]


def test_the_blocking_face_looks_in_its_own_thread(port: str, tmp_path: Path) -> None:
    with BlockingSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            session.execute("raise KeyError('blocking')")
        assert places(caught.value) == [(HERE, line_of("""session.execute("raise KeyError('b"""), "<module>")]
        with pytest.raises(ExecutionError) as caught:
            list(session.stream("raise KeyError('streamed')"))
        assert places(caught.value) == [(HERE, line_of("session.stream(\"raise KeyError('s"), "<module>")]
        assert len(caught.value.__notes__) == 1
        file = tmp_path / "blink.py"
        file.write_text("1/0")
        with pytest.raises(ExecutionError) as caught:
            session.run(file)
        assert places(caught.value) == [(str(file), 1, "<module>")]


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("ValueError", "bad", ValueError("bad")),
        ("OSError", "[Errno 2] ENOENT", FileNotFoundError(2, "ENOENT")),
        ("OSError", "28", OSError(28, "28")),
        ("OSError", "-2", OSError(-2, "-2")),
        ("OSError", "[Errno -2] EAI", OSError(-2, "EAI")),
        ("OSError", "no number", OSError("no number")),
        ("MemoryError", "", MemoryError()),
        ("StopIteration", "", StopIteration()),
        ("MyError", "bad", None),
        ("print", "bad", None),
        ("SystemExit", "", None),
        ("KeyboardInterrupt", "", None),
        ("UnicodeDecodeError", "five arguments", None),
        ("ExceptionGroup", "two arguments", None),
    ],
)
def test_the_hosts_exception(name: str, message: str, expected: BaseException | None) -> None:
    found = host_exception(name, message)
    assert (type(found), str(found)) == (type(expected), str(expected))
    assert getattr(found, "errno", None) == getattr(expected, "errno", None)


def test_a_located_error_survives_pickling() -> None:
    error = execution_error(
        b'Traceback (most recent call last):\n  File "<stdin>", line 1, in f\nValueError: a\nb\n', b"x"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.frames, copy.output_bytes) == (str(error), error.frames, b"x")
    assert copy.message == "a\nb"


def host_lines(code: str) -> list[str]:
    """The lines of this file where those of a piece of code are said to stand."""
    source = find_source(code)
    assert source.file == HERE
    shown = Path(HERE).read_text().splitlines()
    return [shown[line - 1].strip() for line in source.host_lines]


def test_lines_that_are_joined_or_escaped_are_found_where_they_begin() -> None:
    code = "first = 1\nsecond = 2\nthird \
= 3"
    assert find_source(code).place(3) == (HERE, line_of('code = "first'))
    one_line = "a = 1\nb = 2"
    assert find_source(one_line).place(2) == (HERE, line_of("one_line ="))
    joined = (
        "a = 'joined'\n"
        "b = 'too'\n"
    )  # fmt: skip
    assert host_lines(joined)[:2] == [""""a = 'joined'\\n\"""", """"b = 'too'\\n\""""]
    # As many line ends in the source as in the code, and not the same ones.
    uneven = (
        "a = 'un'\nb = 2\n"
        "c = 'even';"
        "d = 4\n"
    )  # fmt: skip
    assert host_lines(uneven)[:3] == [*[""""a = 'un'\\nb = 2\\n\""""] * 2, """"c = 'even';\""""]
    # An f-string: its tokens are not looked at, nor are its pieces taken for code.
    unbraced = f"""one = 'piece'
two = 2"""  # noqa: F541  it has no braces so that it is found
    assert find_source(unbraced).host_lines == (line_of("unbraced = f"),) * 2
    braced = f"a_{len(one_line)}\nend_of_it()"
    assert find_source("end" + "_of_it()").file is None, braced


def test_text_between_triple_quotes_is_found_line_by_line() -> None:
    dedented = textwrap.dedent("""\
        begun = 'behind a backslash'
        x = 2

        print("escaped\\n")
        y = 'ended'
        """)
    assert host_lines(dedented)[:5] == [
        "begun = 'behind a backslash'",
        "x = 2",
        "",
        r'print("escaped\\n")',
        "y = 'ended'",
    ]
    continued = """
z = 'one ' \
    'line'
print('\\x0a', "\\\\")
z = 'last'
"""
    assert [line[:5] for line in host_lines(continued)[1:4]] == ["z = '", "print", "z = '"]
    assert host_lines(continued)[3] == "z = 'last'"
    raw = r"""
raw = '\n\n\
'
raw = 'last'
"""
    assert host_lines(raw)[1:4] == [r"raw = '\n\n" + "\\", "'", "raw = 'last'"]


def test_code_is_found_by_whole_lines_only() -> None:
    said = "about to call made_up() on the board"
    assert find_source("made_up" + "()").file is None, said
    below = """
        a_line_of()
        the_next_statement()
    """
    assert find_source("the_next" + "_statement()").file == HERE, below
    assert find_source("made_of" + "_more()").file is None
    second, first, part = "made_of" + "_lines()\nmade_of" + "_more()\n", "setup_of" + "_it()", "of" + "_it()"
    lines = """
        setup_of_it()
        made_of_lines()
        made_of_more()
    """
    found = [find_source(code) for code in (second, first, part)]  # in the line that follows the text
    assert found[0].place(2) == (HERE, line_of("  made_of_lines()") + 1), lines
    assert found[1].place(1) == (HERE, line_of("  made_of_lines()") - 1)
    assert found[2].file is None
    assert find_source("").file is None


async def test_functions_of_earlier_executions_keep_their_lines(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("""
def earlier(x):
    return 1 // x
""")
        with pytest.raises(ExecutionError) as caught:
            await session.execute("""
def later(x): return earlier(x)
quotients = lambda x: [later(y) for y in x]
quotients([0])
""")
        error = caught.value
        here = line_of("def later(x)")
        assert places(error) == [
            (HERE, here + 2, "<module>"),
            (HERE, here + 1, "<lambda>"),
            (HERE, here + 1, "<listcomp>"),
            (HERE, here, "later"),
            (None, None, "earlier"),
        ]
        assert error.host_traceback.splitlines()[-3:] == [
            "    def later(x): return earlier(x)",
            '  File "<stdin>", line 3, in earlier',
            "ZeroDivisionError: divide by zero",
        ]
        # Of the same name, and not in its lines.
        with pytest.raises(ExecutionError) as caught:
            await session.execute("later(0)\n\n\ndef later(): pass")
        assert [place[0] for place in places(caught.value)] == [HERE, None, None]
        # Python does not read this, the board does not either.
        with pytest.raises(ExecutionError, match="SyntaxError") as caught:
            await session.execute("def unreadable(:")
        assert places(caught.value)[0][0] == HERE


async def test_what_fails_in_the_encoder_is_not_in_the_callers_code(port: str) -> None:
    for code in ("1 + 1", "if 1:\n pass\n1 + 1"):
        async with DeviceSession(port) as session:
            await session.soft_reset()
            await session.execute("import builtins; builtins.exec = None")
            with pytest.raises(ExecutionError, match="TypeError") as caught:
                await session.evaluate(code)
            assert caught.value.frames == ()
            assert HERE not in caught.value.host_traceback
            (note,) = caught.value.__notes__
            assert "none of the code ran" in note
            await session.soft_reset()


async def test_a_message_that_looks_like_a_traceback(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError) as caught:
            await session.execute("print('out')\nraise ValueError('a\\x04Traceback b')")
        assert (caught.value.type, caught.value.message) == ("ValueError", "a\x04Traceback b")
        assert caught.value.output == "out\n"
        with pytest.raises(ExecutionError) as caught:
            await session.execute("print('out\\x04Traceback x', end='')\nraise ValueError('a')")
        assert (caught.value.message, caught.value.output) == ("a", "out\x04Traceback x")


@pytest.mark.parametrize(
    ("file", "module", "found"),
    [
        (str(PACKAGE / "session" / "any.py"), "belay_py.session.any", False),
        (f"{PACKAGE}_app{os.sep}any.py", "any", True),
        (f"{PACKAGE}_app{os.sep}any.py", None, True),
        (f"{PACKAGE}_app{os.sep}any.py", "asyncio.events", False),
    ],
)
def test_whose_source_is_looked_at(file: str, module: str | None, found: bool) -> None:
    text = "find('code of ' 'an application')"
    linecache.cache[file] = (len(text), None, [text], file)
    sources: list[Source] = []
    names = {"find": lambda code: sources.append(find_source(code)), "__name__": module}
    try:
        exec(compile(text, file, "exec"), names)
    finally:
        del linecache.cache[file]
    assert (sources[0].file == file) is found


def test_source_that_cannot_be_parsed_is_no_trouble(tmp_path: Path) -> None:
    code = compile("find('some code')", str(tmp_path / "gone.py"), "exec")
    found: list[object] = []
    exec(code, {"find": lambda text: found.append(find_source(text, None)), "__name__": "x"})
    assert len(found) == 1
    assert sys.exc_info()[0] is None
