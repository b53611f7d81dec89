"""The verbs that run code: ``exec``, ``run`` and ``eval``."""

from __future__ import annotations

import contextlib
import math
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py import errors
from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, ConnectTimeout, Exact, Port, Timeout, Trace  # noqa: TC001  typer reads them
from belay_py.cli.output import BoardOutput
from belay_py.session.blocks import split
from belay_py.session.execution import read_code, without_bom
from belay_py.session.tracebacks import Source, locate

if TYPE_CHECKING:
    from belay_py.sync import DeviceSession

_STDIN = "-"


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
    source = _read_stdin() if file == _STDIN else read_code(file)
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        filename = None if file == _STDIN else file
        _stream(board, source, math.inf if timeout is None else timeout, exact=exact, filename=filename)


@with_exit_status
def eval_(
    code: Annotated[str, typer.Argument(metavar="EXPR", help="An expression, or statements that end in one.")],
    *,
    port: Port = None,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Evaluate an expression on the board and print its repr.

    Statements may stand before it. It may take 10 seconds unless --timeout says otherwise.

    \b
    Examples:
      belay-py eval "2 ** 100"
      belay-py eval "import machine; machine.freq()"
    """
    source = _printing(code)
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        try:
            _stream(board, source, timeout)
        except errors.ExecutionError as error:
            locate(error, Source(tuple(code.split("\n"))))  # what was asked for, not what was sent
            raise


def _stream(
    board: DeviceSession, code: str | bytes, timeout: float | None, *, exact: bool = False, filename: str | None = None
) -> None:
    output = BoardOutput(sys.stdout.buffer, exact=exact)
    # Closed at once when writing fails or Ctrl-C comes: that is what stops the board.
    with contextlib.closing(board.stream(code, timeout=timeout, mode="bytes", filename=filename)) as pieces:  # type: ignore[type-var]
        try:
            for piece in pieces:
                output.write(piece)
        finally:
            output.finish()


def _read_stdin() -> bytes:
    return without_bom(sys.stdin.buffer.read())


def _printing(code: str) -> bytes:
    """The code with its last expression's repr printed."""
    try:
        # The repr is made on the board: any object has one there, 32-bit floats are short, and what the code prints
        # comes as it runs.
        return split(code).calling("print(repr(")
    except errors.InvalidCode as error:
        raise errors.InvalidCode(str(error).replace("execute()", "belay-py exec")) from None
