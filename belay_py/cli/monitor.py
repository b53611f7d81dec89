"""``monitor``: what the board's own program prints, while it runs on."""

from __future__ import annotations

import contextlib
import math
import sys

from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, ConnectTimeout, Exact, Port, Trace, WatchTimeout  # noqa: TC001  typer reads them
from belay_py.cli.output import BoardOutput
from belay_py.errors import SessionTimeout


@with_exit_status
def monitor(
    *,
    port: Port = None,
    timeout: WatchTimeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    exact: Exact = False,
    trace: Trace = None,
) -> None:
    """Show what the board's own program (main.py) prints, without stopping it: nothing is sent to the board.

    It ends at Ctrl-C, after --timeout, or when the board is lost. The board runs on. Some boards reset when their port
    is opened, whoever opens it.

    \b
    Examples:
      belay-py monitor
      belay-py monitor --port /dev/ttyACM0 --trace wire.jsonl | grep error
    """
    limit = math.inf if timeout is None else timeout
    with boards.unconnected(port, baudrate, connect_timeout, trace) as board:
        output = BoardOutput(sys.stdout.buffer, exact=exact)
        with contextlib.closing(board.monitor(timeout=limit, mode="bytes")) as pieces:  # type: ignore[type-var]
            try:
                for piece in pieces:
                    output.write(piece)
            except SessionTimeout:
                return  # that long was asked for
            finally:
                output.finish()
