"""``virtual``: a virtual board for any other tool."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from belay_py.cli import serving
from belay_py.cli.endings import with_exit_status
from belay_py.cli.signals import stop_request
from belay_py.errors import SettingsError


class _RawPaste(StrEnum):
    ON = "on"
    REFUSED = "refused"
    ABSENT = "absent"


class _Overrun(StrEnum):
    STALL = "stall"
    DROP = "drop"


@with_exit_status
def virtual(
    *,
    link: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Make a symbolic link to the pseudo-terminal; it goes with the board."),
    ] = None,
    tcp: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Serve TCP instead, on this computer only unless HOST says otherwise; 0 is any free port. "
            "Whoever connects can run code on the board.",
        ),
    ] = None,
    stdio: Annotated[
        bool,
        typer.Option("--stdio", help="Serve standard input and output instead, as the port process: wants it."),
    ] = False,
    folder: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep the board's files in this folder, instead of in memory."),
    ] = None,
    window: Annotated[int, typer.Option(metavar="BYTES", help="What one credit of raw-paste grants.")] = 128,
    raw_paste: Annotated[
        _RawPaste, typer.Option(help="Whether the board knows raw-paste, refuses it, or is from before it.")
    ] = _RawPaste.ON,
    ring: Annotated[int, typer.Option(metavar="BYTES", help="The size of the receive ring.")] = 260,
    overrun: Annotated[
        _Overrun, typer.Option(help="What a full ring does: stall the sender, as USB, or drop bytes, as a UART.")
    ] = _Overrun.STALL,
) -> None:
    """Run a virtual board, which is real MicroPython, for any tool that opens serial ports.

    The first line on stdout is what to connect to, except with --stdio. It runs until Ctrl-C or SIGTERM. Where there
    are no pseudo-terminals (Windows) it serves TCP.

    \b
    Examples:
      belay-py virtual --link /tmp/board
        mpremote connect /tmp/board fs ls
        belay-py exec --port /tmp/board "print(1)"
      belay-py virtual --tcp 4000 --folder ./board-files
        belay-py info --port socket://127.0.0.1:4000
      belay-py info --port "process:belay-py virtual --stdio"
    """
    from belay_py.virtual import BoardProcess, VirtualBoardOptions  # noqa: PLC0415  10 ms that --help saves

    if link is not None and (tcp is not None or not serving.HAS_TERMINALS):
        raise SettingsError("--link needs a pseudo-terminal, and this is TCP; leave it out")
    if stdio and (link is not None or tcp is not None):
        raise SettingsError("--stdio is a place of its own; leave --link and --tcp out")
    try:
        options = VirtualBoardOptions(
            folder=folder, window=window, raw_paste=raw_paste.value, ring=ring, overrun=overrun.value
        )
    except ValueError as error:
        raise SettingsError(str(error)) from error
    with BoardProcess(options=options) as board, stop_request() as stop:
        if stdio:
            serving.standard_streams(board, stop)
        elif tcp is None and serving.HAS_TERMINALS:
            with serving.terminal(board, link) as path:
                _announce(path)
                serving.watch(board, stop)
        else:
            with serving.listening(tcp or "0") as listener:
                _announce(serving.url(listener))
                serving.accept(board, listener, stop)


def _announce(place: str) -> None:
    """The place alone on stdout, so that scripts can read it; all else on stderr."""
    print(place, flush=True)
    print(
        f'a virtual board is at {place}; try: belay-py exec --port {place} "print(1)". Ctrl-C ends it', file=sys.stderr
    )
