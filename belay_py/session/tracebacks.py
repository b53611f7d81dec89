"""A device's exception as ours: taken apart, put into the caller's file and lines, with the host's class as its cause.

The board calls all code ``<stdin>``. Whose code it was is known here: a file that was run, or text that stands in the
source of whoever called. Nothing of this is done before there is an exception.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import re
import textwrap
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from belay_py.errors import DeviceFrame, ExecutionError
from belay_py.session.parser import parse
from belay_py.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The last line of a traceback, `ValueError: bad`, or the whole of one when the board has no memory for more
# (raw-paste then sends `MemoryError: ...` with no `Traceback` line).
_LAST_LINE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$", re.DOTALL)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>[0-9]{1,9})(?:, in (?P<function>.*))?$')
_ERRNO = re.compile(r"^(?:\[Errno (?P<number>-?[0-9]{1,9})\] ?(?P<name>.*)|(?P<bare>-?[0-9]{1,9}))$", re.DOTALL)
_NOTE: Final = "On the board: "
STDIN: Final = "<stdin>"
"""What boards call code that came through the REPL."""


# What boards call the code that has no name of its own.
_NAMELESS: Final = {
    ast.Lambda: "<lambda>",
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where code stands on the host. ``lines`` are those of the code itself, for showing."""

    lines: tuple[str, ...]
    file: str | None = None
    host_lines: tuple[int, ...] = ()
    """The line of ``file`` for each line of the code; empty where the code is the whole file."""
    is_whole: bool = True
    """Whether what is outside of functions is of the code too. Not where a function of earlier code was called."""

    def place(self, line: int) -> tuple[str, int] | None:
        """Return the host's file and line for a line of the code."""
        if self.file is None:
            return None
        if not self.host_lines:
            return self.file, line
        return self.file, self.host_lines[min(max(line, 1), len(self.host_lines)) - 1]

    def text(self, line: int) -> str:
        """Return a line of the code, or nothing where there is none."""
        return self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""

    def scopes(self) -> tuple[_Scope, ...]:
        """Return what the code defines and boards name in tracebacks; nothing where Python cannot read it."""
        tree = parsed(textwrap.dedent("\n".join(self.lines)))
        return tuple(filter(None, map(_scope, ast.walk(tree)))) if tree is not None else ()


class _Scope(NamedTuple):
    name: str
    first: int
    last: int


def _scope(node: ast.AST) -> _Scope | None:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return _Scope(node.name, node.lineno, node.end_lineno or node.lineno)
        case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return _Scope(_NAMELESS[type(node)], node.lineno, node.end_lineno or node.lineno)
    return None


_Known: TypeAlias = "Sequence[tuple[Source, tuple[_Scope, ...]]]"
"""Code, and what each piece of it defines."""


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree of a text, or None where there is none to be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes: whoever wrote them has been told by now, or it is for the board
        try:
            return parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def execution_error(traceback: bytes, output: bytes) -> ExecutionError:
    """Return the device's exception as ours, with the board's own words for its places."""
    text = to_text(traceback).strip("\r\n")
    lines = text.split("\n")
    has_frames = lines[0].startswith("Traceback ")
    # The first line that is not indented; a message may have indented lines of its own.
    start = next((i for i, line in enumerate(lines) if i >= has_frames and not line.startswith("  ")), 0)
    match = _LAST_LINE.match("\n".join(lines[start:]))
    if match is None:
        return ExecutionError("Exception", text, text, output)
    error = ExecutionError(match["type"], match["message"] or "", text, output)
    error.frames = tuple(_frames(lines[1:start]))
    error.__cause__ = host_exception(error.type, error.message)
    return error


def _frames(lines: Iterable[str]) -> Iterable[DeviceFrame]:
    for line in lines:
        match = _FRAME.match(line)
        if match is not None:
            yield DeviceFrame(match["file"], int(match["line"]), match["function"] or "")


def host_exception(name: str, message: str) -> BaseException | None:
    """Return the host's exception of the same name, made of the device's message; None where the host has none.

    ``OSError`` gets its ``errno``, which makes it the fitting subclass (``FileNotFoundError`` for 2).
    """
    kind = getattr(builtins, name, None)
    # Those that are no Exception would end the host's program, and UnicodeError's children want five arguments.
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        return None
    if issubclass(kind, OSError) and (errno := _ERRNO.match(message)):
        return kind(int(errno["number"] or errno["bare"]), errno["name"] or message)
    try:
        return kind(message) if message else kind()
    except TypeError:
        return None


def locate(error: ExecutionError, *sources: Source) -> None:
    """Put the host's file and lines into an error: its ``frames``, its ``host_traceback``, and a note with that.

    Functions of earlier executions are ``<stdin>`` to the board too; their frames stay as they are. A second call
    replaces what the first one knew.
    """
    if not error.frames:
        return
    known = tuple((source, source.scopes()) for source in sources)
    error.frames = tuple(_placed(frame, known) for frame in error.frames)
    error.host_traceback = "\n".join(_mapped(error.traceback.split("\n"), known))
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith(_NOTE)]
    error.__notes__ = [*notes, f"{_NOTE}{error.host_traceback}"]


def _source_of(frame: DeviceFrame, known: _Known) -> Source | None:
    """Return the code that a frame is of: the first that defines its name there. Syntax errors have no function."""
    if frame.file != STDIN:
        return None
    for source, scopes in known:
        if source.is_whole and frame.function in ("", "<module>"):
            return source
        if any(scope.name == frame.function and scope.first <= frame.line <= scope.last for scope in scopes):
            return source
    return None


def _placed(frame: DeviceFrame, known: _Known) -> DeviceFrame:
    source = _source_of(frame, known)
    place = source and source.place(frame.line)
    return dataclasses.replace(frame, host_file=place[0], host_line=place[1]) if place else frame


def _mapped(lines: Iterable[str], known: _Known) -> Iterable[str]:
    for line in lines:
        frame = next(iter(_frames([line])), None)
        source = _source_of(frame, known) if frame is not None else None
        if frame is None or source is None:
            yield line
            continue
        file, host_line = source.place(frame.line) or (STDIN, frame.line)
        yield f'  File "{file}", line {host_line}' + (f", in {frame.function}" if frame.function else "")
        if text := source.text(frame.line):
            yield f"    {text}"


def is_keyboard_interrupt(traceback: bytes) -> bool:
    """Whether a traceback is that of a Ctrl-C which the program let through."""
    return _last_line(traceback).startswith(b"KeyboardInterrupt")


def is_unprepared(traceback: bytes) -> bool:
    """Whether a traceback may say that `protocol.prepare` has not been run in this life of the interpreter.

    Boards that are built with terse messages do not name the name.
    """
    last = _last_line(traceback)
    return last.startswith(b"NameError") and (b"'_q'" in last or b"name not defined" in last)


def _last_line(traceback: bytes) -> bytes:
    return traceback.rstrip().rpartition(b"\n")[2]
