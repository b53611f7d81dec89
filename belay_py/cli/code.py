"""The verbs that run code: ``exec``, ``run`` and ``eval``."""

from __future__ import annotations

import ast
import contextlib
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py import errors
from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, ConnectTimeout, Exact, Port, Timeout, Trace  # noqa: TC001  typer reads them
from belay_py.cli.output import BoardOutput

if TYPE_CHECKING:
    from belay_py.sync import DeviceSession

_STDIN = "-"
_BOM = b"\xef\xbb\xbf"  # some editors on Windows begin files with it, and MicroPython takes it for a syntax error


@with_exit_status
def exec_(
    code: Annotated[str, typer.Argument(metavar="CODE", help="Statements; - reads them from standard input.")],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    exact: Exact = False,
    trace: Trace = None,
) -> None:
    """Run statements on the board; their output appears as it comes.

    There is no time limit unless --timeout sets one. Ctrl-C stops the board's code and brings the board back to its
    prompt.

    \b
    Examples:
      belay-py exec "import os; print(os.listdir())"
      belay-py exec --port virtual: "print(1 + 1)"
      echo "print('hi')" | belay-py exec -
    """
    source = _read_stdin() if code == _STDIN else code
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        _stream(board, source, math.inf if timeout is None else timeout, exact=exact)


@with_exit_status
def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of this computer; - reads standard input.")],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    exact: Exact = False,
    trace: Trace = None,
) -> None:
    """Run a file of this computer on the board, without storing it there.

    Its output appears as it comes, and tracebacks name the file. There is no time limit unless --timeout sets one.
    Ctrl-C stops the board's code and brings the board back to its prompt.

    \b
    Examples:
      belay-py run blink.py
      belay-py run --timeout 5m --port /dev/ttyACM0 selftest.py
      belay-py run - < blink.py
    """
    source = _read_stdin() if file == _STDIN else _read(file)
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        try:
            _stream(board, source, math.inf if timeout is None else timeout, exact=exact)
        except errors.ExecutionError as error:
            if file == _STDIN:
                raise
            raise _named(error, file) from error


@with_exit_status
def eval_(
    expr: Annotated[str, typer.Argument(metavar="EXPR", help="One expression.")],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Evaluate one expression on the board and print its repr.

    It may take 10 seconds unless --timeout says otherwise.

    \b
    Examples:
      belay-py eval "2 ** 100"
      belay-py eval "__import__('machine').freq()"
    """
    # The repr is made on the board, so any object has one, and what the expression itself prints is not lost.
    # The line breaks end a comment in the expression; the parentheses allow it to span lines.
    source = f"print(repr((\n{_check(expr)}\n)))"
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        _stream(board, source, timeout)


def _stream(board: DeviceSession, code: str | bytes, timeout: float | None, *, exact: bool = False) -> None:
    output = BoardOutput(sys.stdout.buffer, exact=exact)
    # Closed at once when writing fails or Ctrl-C comes: that is what stops the board.
    with contextlib.closing(board.stream(code, timeout=timeout, mode="bytes")) as pieces:  # type: ignore[type-var]
        try:
            for piece in pieces:
                output.write(piece)
        finally:
            output.finish()


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read().removeprefix(_BOM)


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes().removeprefix(_BOM)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise errors.InvalidCode(f"cannot read {file} ({reason}); name a file of this computer") from error


def _check(expression: str) -> str:
    expression = expression.strip()
    try:
        ast.parse(expression, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise errors.InvalidCode(
            f"{expression!r} is not one expression ({reason}); run statements with: belay-py exec"
        ) from None
    return expression


def _named(error: errors.ExecutionError, file: str) -> errors.ExecutionError:
    """The error with the file's name where the board, which never sees it, says ``<stdin>``."""
    lines = error.traceback.splitlines()
    ours = '  File "<stdin>"'
    text = "\n".join(f'  File "{file}"' + line.removeprefix(ours) if line.startswith(ours) else line for line in lines)
    return errors.ExecutionError(error.type, error.message, text, error.output_bytes, error.output)
