"""What is sent of a function, and what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import functools
import linecache
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BelayError, DeviceSession, ExecutionError, InvalidCode, SettingsError, task
from belay_py.sync import DeviceSession as BlockingSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from types import FunctionType

    from belay_py.virtual import BoardProcess


@pytest.fixture(scope="module")
def session(direct_board: BoardProcess) -> Iterator[BlockingSession]:
    with BlockingSession(direct_board.port) as session:
        yield session


def from_file(folder: Path, source: str, name: str = "f", **known: Any) -> Any:
    """A function as if it had been imported from a file."""
    file = folder / "module_of_the_test.py"
    file.write_text(source, encoding="utf-8")
    linecache.checkcache(str(file))
    namespace: dict[str, Any] = {"__name__": "module_of_the_test", **known}
    exec(compile(source, str(file), "exec", dont_inherit=True), namespace)
    return namespace[name]


FORMS = {
    "one line": "def f(): return 42",
    "one line, statements": "def f(): x = 40; return x + 2",
    "one line, a docstring": "def f(): 'doc'; return 42",
    "a docstring and more in its line": "def f():\n    'doc'; x = 42\n    return x",
    "a header in lines": "def f(\n    a=1,  # one\n    *,\n    b: int = 41,\n) -> int:  # of both\n    return a + b",
    "a body at the end of the header": "def f(\n    a=42,\n): return a",
    "comments and blank lines": "def f():\n\n    # one\n    x = 42\n\n  # less\n        # more\n    return x  # two",
    "a backslash before a blank line": "def f():\n    x = 42 \\\n\n    return x",
    "tabs": "if True:\n\tdef f():\n\t\tif True:\n\t\t\treturn 42",
    "a decorated first statement": (
        "def f():\n    @lambda_\n    def g(): return 42\n    return g\ndef lambda_(g): return g()"
    ),
    "a string in lines": (
        'def f():\n    x = """\n  # no comment\n\n        deep"""\n    return 42 if len(x) == 32 else x'
    ),
    "an f-string in lines": 'def f(y=2):\n    x = f"""{y}\n  #"""\n    return 42 if x == "2\\n  #" else x',
    "bytes in lines": "def f():\n    x = b'''\n  #'''\n    return 42 if len(x) == 4 else x",
    "strings in brackets": (
        "def f():\n    x = ('a'\n  'b'\n            # c\n         'd')\n    return 42 if x == 'abd' else x"
    ),
    "a backslash": "def f():\n    x = 40 + \\\n  2\n    return x",
    "a string with a backslash": "def f():\n    x = 'a\\\n    b'\n    return 42 if len(x) == 6 else x",
    "positional only": "def f(a=40, /, b=2): return a + b",
    "nothing but a docstring": "def f():\n    'doc'\n",
    "an ellipsis": "def f(): ...",
    "nested and indented": (
        "def outer():\n    if True:\n        def f(n=42):\n            return n\n        return f\nf = outer()"
    ),
    "strings in what is indented": (
        'def outer():\n    def f():\n        x = """\n    # a\n        b\n\tc"""\n        return x\n    return f'
        "\nf = outer()"
    ),
    "names beyond ASCII": "def f():\n    größe = 42\n    return größe",
    "a carriage return": "def f():\r\n    # c\r\n    return 42\r\n",
    "defaults of the host": (
        "ANSWER = 42\ndef f(a=ANSWER, *, b=[0.1, 'ab', None]): return a if b == [0.1, 'ab', None] else b"
    ),
    "a class inside": "def f():\n    class A:\n        def g(self): return 42\n    return A().g()",
    "a generator inside": "def f():\n    return sum(n for n in (40, 2))",
    "an import inside": "def f():\n    from math import floor\n    return floor(42.5)",
    "a global": "def f():\n    global made_by_f\n    made_by_f = 42\n    return made_by_f",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_function_is_what_it_is_on_the_host(session: BlockingSession, form: str, tmp_path: Path) -> None:
    function = from_file(tmp_path, FORMS[form])
    if form == "a decorated first statement":
        session.execute("def lambda_(g): return g()")
    assert session.task(function)() == function()


@pytest.mark.parametrize("margin", ["", "    ", "\t"])
def test_every_line_is_told_by_the_hosts_number(session: BlockingSession, margin: str, tmp_path: Path) -> None:
    body = [
        "def f(",
        "    where,",
        "):",
        '    """Docs.',
        "",
        '    More."""',
        "    # a comment",
        "    if where == 0: raise ValueError",
        "",
        '    text = """',
        "# none",
        '    """',
        "    if where == 1:",
        "        # another one",
        "        raise ValueError",
        "    (",
        "        # one more",
        "        text,",
        "    )",
        "    raise ValueError",
    ]
    lines = ["if True:" if margin else "pass", *(line if line == "# none" else margin + line for line in body)]
    function = from_file(tmp_path, "\n".join(lines))
    for where, wanted in enumerate(number for number, line in enumerate(lines, 1) if "raise" in line):
        with pytest.raises(ExecutionError) as caught:
            session.task(function)(where)
        assert caught.value.frames[-1].host_line == wanted
        assert caught.value.frames[-1].host_file == str(tmp_path / "module_of_the_test.py")


# Each of these as the body of a function; the second part is what the message names.
MISSING = {
    "match": ("match a:\n    case 1: pass", "`match`"),
    "except*": ("try: pass\nexcept* ValueError: pass", r"`except\*`"),
    "a list": ("[*a]", r"`\*` inside of a list"),
    "a tuple": ("x = *a, 1", r"`\*` inside of a list"),
    "a set": ("{*a}", r"`\*` inside of a list"),
    "a dict": ("{**a}", r"`\*\*` inside of a dict"),
    "an index": ("a[*a]", r"`\*` inside of a list"),
    "return": ("return *a, 1", r"`\*` inside of a list"),
    "a loop": ("for x in *a, 1: pass", r"`\*` inside of a list"),
    "positional only": ("def g(b, /): pass", "positional only"),
    "a lambda": ("lambda b, /: b", "positional only"),
    "async brackets": ("async def g(): return [b async for b in a]", "`async for`"),
}
if sys.version_info >= (3, 12):
    MISSING["a type"] = ("type T = int", "`type`")
    MISSING["type parameters"] = ("def g[T](b: T): pass", "type parameters")
    MISSING["a generic class"] = ("class G[T]: pass", "type parameters")


@pytest.mark.parametrize("what", MISSING)
def test_what_micropython_lacks_is_refused_and_is_lacking(session: BlockingSession, what: str, tmp_path: Path) -> None:
    body, named = MISSING[what]
    source = f"def f(a):\n{textwrap.indent(body, '    ')}\n"
    with pytest.raises(ExecutionError, match="SyntaxError"):
        session.execute(source)
    function = from_file(tmp_path, f"\n\n{source}")
    with pytest.raises(InvalidCode, match=f"f in .*module_of_the_test.py, line 4: MicroPython has no .*{named}"):
        session.task(function)


def wrapped(function: Callable[[], Any]) -> Callable[[], Any]:
    @functools.wraps(function)
    def wrapper() -> Any:
        return function()

    return wrapper


@wrapped
def decorated() -> int:
    return 1


async def a_coroutine() -> None:
    await asyncio.sleep(0)


async def an_async_generator() -> AsyncIterator[int]:
    yield 1


class Something:
    def method(self) -> None: ...


def without_source() -> Any:
    namespace: dict[str, Any] = {}
    exec("def typed_in(): return 1", namespace)
    return namespace["typed_in"]


def closing_over(value: Any) -> Any:
    def inner() -> Any:
        return value

    return inner


NO_FUNCTIONS: dict[str, tuple[Any, str]] = {
    "a lambda": (lambda: 1, "a lambda cannot be sent; write a function with def"),
    "wrapped": (decorated, "decorated is wrapped by another decorator"),
    "async def": (a_coroutine, "a_coroutine is an async def; .*asyncio.run"),
    "an async generator": (an_async_generator, "an_async_generator is an async def"),
    "builtin": (len, "len is no function that was written with def"),
    "a class": (Something, "Something is no function"),
    "a bound method": (Something().method, r"Something.method is no function"),
    "partial": (functools.partial(decorated), "partial is no function"),
    "without source": (without_source(), "the source of typed_in is not to be had"),
    "a closure": (closing_over(3), "closing_over.<locals>.inner uses value, a variable of the host's function"),
    "text": ("def f(): pass", "str is no function"),
}


@pytest.mark.parametrize("what", NO_FUNCTIONS)
def test_what_is_no_function_for_a_board_is_refused(what: str) -> None:
    function, message = NO_FUNCTIONS[what]
    with pytest.raises(InvalidCode, match=message):
        DeviceSession("virtual:").task(function)
    with pytest.raises(InvalidCode, match=message):
        task(function)


def test_other_options_that_are_refused(tmp_path: Path) -> None:
    session = DeviceSession("virtual:")
    with pytest.raises(InvalidCode, match="the default of 'pin' of f cannot be sent: the value is a object"):
        session.task(from_file(tmp_path, "def f(pin=object()): pass")).task.definition()
    for wrong in ("1 + 1", "os; import", "from", 5, "a b"):
        with pytest.raises(InvalidCode, match="imports has"):
            session.task(imports=[wrong])(closing_over.__globals__["plain"])  # type: ignore[list-item]  # the point
    with pytest.raises(InvalidCode, match="imports has 5"):
        session.task(imports=5)(plain)  # type: ignore[call-overload]  # the point
    for name in ("1", "a b", "", "class", 5):
        with pytest.raises(SettingsError, match="name is"):
            session.task(name=name)(plain)  # type: ignore[arg-type]  # the point


def plain() -> int:
    return 1


def test_a_variable_that_comes_later_is_refused_at_the_first_call(session: BlockingSession) -> None:
    @session.task
    def read() -> Any:
        return later

    later = 5
    with pytest.raises(InvalidCode, match="uses later, a variable of the host's function around it"):
        read()
    assert later == 5


@pytest.mark.parametrize(
    "now",
    [
        "# a new line\ndef g():\n    return 2\n",
        "def f():\n    return (1\n",
        'def f():\n    return """1\n',
        "def f()]\n",
    ],
)
def test_a_file_that_was_changed_meanwhile_is_told(session: BlockingSession, tmp_path: Path, now: str) -> None:
    function: FunctionType = from_file(tmp_path, "def f():\n    return 1\n")
    (tmp_path / "module_of_the_test.py").write_text(now)
    with pytest.raises(InvalidCode, match="the file was changed since it was imported"):
        session.task(function)


def test_a_function_inside_of_another_may_call_itself(session: BlockingSession) -> None:
    def factorial(number: int) -> int:
        return number * factorial(number - 1) if number else 1

    assert session.task(factorial)(5) == 120


def test_tasks_that_call_each_other_in_a_circle_are_refused(session: BlockingSession, tmp_path: Path) -> None:
    source = """
@task
def f(n): return n if n < 1 else g(n - 1)
@task
def g(n): return n if n < 1 else f(n - 1)
"""
    with pytest.raises(InvalidCode, match="f and g call each other in a circle"):
        session.task(from_file(tmp_path, source, task=task))(3)


def test_a_task_that_another_one_calls_is_looked_up_at_each_call(session: BlockingSession, tmp_path: Path) -> None:
    source = """
@task
def inner(): return 1
first = inner
@task
def inner(): return 2
@task
def f(): return inner() + 40
"""
    function = from_file(tmp_path, source, task=task)
    remote = session.task(function)
    assert remote() == 42
    function.function.__globals__["inner"] = function.function.__globals__["first"]
    assert remote() == 41


def test_a_task_of_no_board_cannot_be_called(session: BlockingSession) -> None:
    with pytest.raises(BelayError, match=r"plain runs on boards, and this is none's: session.task\(plain\)"):
        task(plain)()
    assert repr(task(plain)) == "<task plain>"
    assert "task plain" in repr(session.task(task(plain)))


def test_what_a_program_of_one_line_has_made_has_no_source() -> None:
    code = (
        "import belay_py; made = {}; exec('def typed_in(): return 1', made)\n"
        "try: belay_py.task(made['typed_in'])\n"
        "except belay_py.InvalidCode as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("the source of typed_in is not to be had")
