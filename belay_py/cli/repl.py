"""``repl``: the board's own prompt, in this terminal."""

from __future__ import annotations

from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, ConnectTimeout, Port, Trace  # noqa: TC001  typer reads them
from belay_py.cli.signals import Stopped
from belay_py.cli.terminal import RawTerminal


@with_exit_status
def repl(
    *,
    port: Port = None,
    connect_timeout: ConnectTimeout = 30.0,
    baudrate: Baudrate = 115200,
    trace: Trace = None,
) -> None:
    """Talk to the board's prompt in this terminal.

    A program that runs is interrupted; nothing is reset. Ctrl-X or Ctrl-] leaves, and leaves the board as it is. Ctrl-C
    interrupts the board's program, Ctrl-D resets its interpreter, Ctrl-E begins a paste. Lines from a pipe are typed
    one after the other; at their end it leaves when the prompt is back.

    \b
    Examples:
      belay-py repl
      belay-py repl --port /dev/ttyACM0 --trace wire.jsonl
      echo "print(1 + 1)" | belay-py repl --port virtual:
    """
    import asyncio  # noqa: PLC0415  60 ms that --help saves

    from belay_py.cli.relay import talk  # noqa: PLC0415  as above

    options = boards.options(port, baudrate, connect_timeout, trace)
    stopped_by = asyncio.run(talk(options, RawTerminal()))
    if stopped_by is not None:
        raise Stopped(stopped_by)
