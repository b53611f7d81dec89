"""Device exceptions, told in the host's files, lines and classes."""

from __future__ import annotations

import pickle
import sys
import traceback
from pathlib import Path

import pytest

from belay_py import DeviceFrame, DeviceSession, ExecutionError, InvalidCode
from belay_py.session.snippets import find_source
from belay_py.session.tracebacks import execution_error, host_exception
from belay_py.sync import DeviceSession as BlockingSession

HERE = __file__
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


def test_a_located_error_survives_pickling() -> None:
    error = execution_error(
        b'Traceback (most recent call last):\n  File "<stdin>", line 1, in f\nValueError: a\nb\n', b"x"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.frames, copy.output_bytes) == (str(error), error.frames, b"x")
    assert copy.message == "a\nb"


def test_literals_that_do_not_lie_line_by_line_point_to_their_first_line() -> None:
    code = "first = 1\nsecond = 2\nthird \
= 3"
    source = find_source(code)
    assert source.file == HERE
    assert not source.whole
    assert source.place(3) == (HERE, line_of('code = "first'))
    one_line = "a = 1\nb = 2"
    assert find_source(one_line).place(2) == (HERE, line_of("one_line ="))
    joined = (
        "a = 'joined'\n"
        "b = 'too'\n"
    )  # fmt: skip
    assert find_source(joined).place(2) == (HERE, line_of("b = 'too'"))


def test_source_that_cannot_be_parsed_is_no_trouble(tmp_path: Path) -> None:
    code = compile("find('some code')", str(tmp_path / "gone.py"), "exec")
    found: list[object] = []
    exec(code, {"find": lambda text: found.append(find_source(text, None)), "__name__": "x"})
    assert len(found) == 1
    assert sys.exc_info()[0] is None
