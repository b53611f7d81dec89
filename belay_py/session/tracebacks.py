"""A device's exception as ours: taken apart, put into the caller's file and lines, with the host's class as its cause.

The board calls all code ``<stdin>``. Whose code it was is known here: a file that was run, or text that stands in the
source of whoever called. Nothing of this is done before there is an exception.
"""

from __future__ import annotations

import builtins
import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import DeviceFrame, ExecutionError
from belay_py.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable

# The last line of a traceback, `ValueError: bad`, or the whole of one when the board has no memory for more
# (raw-paste then sends `MemoryError: ...` with no `Traceback` line).
_LAST_LINE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$", re.DOTALL)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+)(?:, in (?P<function>.*))?$')
_ERRNO = re.compile(r"^(?:\[Errno (?P<number>\d+)\] ?(?P<name>.*)|(?P<bare>\d+))$", re.DOTALL)
_NOTE: Final = "On the board: "
STDIN: Final = "<stdin>"
"""What boards call code that came through the REPL."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where code stands on the host. ``lines`` are those of the code itself, for showing."""

    lines: tuple[str, ...]
    file: str | None = None
    first_line: int = 1
    """The line of ``file`` in which the code's first line stands."""
    whole: bool = True
    """Whether the code's lines follow each other in the file; else all of them stand for the first."""

    def place(self, line: int) -> tuple[str, int] | None:
        """Return the host's file and line for a line of the code."""
        if self.file is None:
            return None
        return self.file, self.first_line + (line - 1 if self.whole else 0)

    def text(self, line: int) -> str:
        """Return a line of the code, or nothing where there is none."""
        return self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""


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


def locate(error: ExecutionError, source: Source) -> None:
    """Put the host's file and lines into an error: its ``frames``, its ``host_traceback``, and a note with that.

    A second call replaces what the first one knew.
    """
    if not error.frames:
        return
    error.frames = tuple(_placed(frame, source) for frame in error.frames)
    error.host_traceback = "\n".join(_mapped(error.traceback.split("\n"), source))
    notes = [note for note in getattr(error, "__notes__", ()) if not note.startswith(_NOTE)]
    error.__notes__ = [*notes, f"{_NOTE}{error.host_traceback}"]


def _placed(frame: DeviceFrame, source: Source) -> DeviceFrame:
    place = source.place(frame.line) if frame.file == STDIN else None
    return dataclasses.replace(frame, host_file=place[0], host_line=place[1]) if place else frame


def _mapped(lines: Iterable[str], source: Source) -> Iterable[str]:
    for line in lines:
        match = _FRAME.match(line)
        if match is None or match["file"] != STDIN:
            yield line
            continue
        number = int(match["line"])
        file, host_line = source.place(number) or (STDIN, number)
        yield f'  File "{file}", line {host_line}' + (f", in {match['function']}" if match["function"] else "")
        if text := source.text(number):
            yield f"    {text}"


def is_keyboard_interrupt(traceback: bytes) -> bool:
    """Whether a traceback is that of a Ctrl-C which the program let through."""
    return _last_line(traceback).startswith(b"KeyboardInterrupt")


def is_unprepared(traceback: bytes) -> bool:
    """Whether a traceback may say that `protocol.PREPARE` has not been run in this life of the interpreter.

    Boards that are built with terse messages do not name the name.
    """
    last = _last_line(traceback)
    return last.startswith(b"NameError") and (b"'_q'" in last or b"name not defined" in last)


def _last_line(traceback: bytes) -> bytes:
    return traceback.rstrip().rpartition(b"\n")[2]
