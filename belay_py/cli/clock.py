"""``set-time``: the computer's time for the board's clock."""

from __future__ import annotations

from typing import Annotated

import typer

from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, ConnectTimeout, Port, Timeout, Trace  # noqa: TC001  typer reads them


@with_exit_status
def set_time(
    *,
    port: Port = None,
    utc: Annotated[bool, typer.Option("--utc", help="Give it UTC instead of the local time.")] = False,
    timeout: Timeout = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Set the board's clock (machine.RTC) to this computer's local time, and print what it shows then.

    It is set at the moment at which a second begins.

    \b
    Examples:
      belay-py set-time
      belay-py set-time --utc --port /dev/ttyACM0
    """
    with boards.session(port, baudrate, connect_timeout, trace) as board:
        print(board.set_time(utc=utc, timeout=timeout))
