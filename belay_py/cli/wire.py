"""``wire``: a faulty wire before a board, for any other tool."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import seconds
from belay_py.cli.serving import HAS_TERMINALS, LOOPBACK
from belay_py.cli.signals import stop_request
from belay_py.errors import SettingsError


@with_exit_status
def wire(
    board: Annotated[
        str, typer.Argument(metavar="BOARD", help="The board's port: a path, virtual:, socket://HOST:PORT, ...")
    ],
    *,
    baud: Annotated[
        int | None,
        typer.Option(metavar="RATE", min=1, help="Take the time of a serial line of this speed.", show_default=False),
    ] = None,
    latency: Annotated[
        float, typer.Option(parser=seconds, metavar="SECONDS", help="Deliver bytes so much later; also 1ms.")
    ] = 0.0,
    jitter: Annotated[
        float, typer.Option(parser=seconds, metavar="SECONDS", help="Up to so much later still, in order.")
    ] = 0.0,
    drop: Annotated[float, typer.Option(metavar="P", min=0.0, max=1.0, help="The odds that a byte vanishes.")] = 0.0,
    corrupt: Annotated[float, typer.Option(metavar="P", min=0.0, max=1.0, help="... that a bit of it flips.")] = 0.0,
    duplicate: Annotated[float, typer.Option(metavar="P", min=0.0, max=1.0, help="... that it comes twice.")] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same number brings the same chances.")] = 0,
    cut_after_to_host: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Lose the link after N bytes from the board.", show_default=False),
    ] = None,
    cut_after_to_board: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="... after N bytes to the board.", show_default=False)
    ] = None,
    stall_after_to_host: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Deliver only N bytes from the board.", show_default=False),
    ] = None,
    stall_after_to_board: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="... only N bytes to the board.", show_default=False)
    ] = None,
    replug_after: Annotated[
        float | None,
        typer.Option(
            parser=seconds, metavar="SECONDS", help="Make the port again so long after a cut.", show_default=False
        ),
    ] = None,
    link: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Make this symbolic link to the pseudo-terminal.", show_default=False),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Serve TCP instead, on this computer only unless HOST says otherwise; 0 is any free port. "
            "Whoever connects can run code on the board.",
            show_default=False,
        ),
    ] = None,
    for_: Annotated[
        float,
        typer.Option(
            "--for", parser=seconds, metavar="SECONDS", help="End after so long; also 5m.", show_default=False
        ),
    ] = math.inf,
) -> None:
    """Put a wire before a board that is slow, loses bytes or fails, for any tool that opens serial ports.

    The first line on stdout is what to connect to. It runs until Ctrl-C or SIGTERM, and then says what passed. A cut
    takes the port away, and the board runs on. Where there are no pseudo-terminals (Windows) it serves TCP.

    \b
    Examples:
      belay-py wire /dev/ttyACM0 --baud 9600 --latency 5ms --link /tmp/slow
        mpremote connect /tmp/slow fs ls
      belay-py wire virtual: --corrupt 0.001 --seed 7
      belay-py wire virtual: --cut-after-to-host 100 --replug-after 2s --listen 4000
        belay-py info --port socket://127.0.0.1:4000
    """
    from belay_py.cli.wire_run import carry  # noqa: PLC0415  asyncio and more: 60 ms that --help saves
    from belay_py.testing import Cut, FaultyWire, Stall  # noqa: PLC0415  as above

    if link is not None and listen is not None:
        raise SettingsError("--link names a pseudo-terminal, and --listen serves TCP; leave one of them out")
    if board.startswith("virtual:"):
        from belay_py.virtual import artifact  # noqa: PLC0415  as above

        artifact.load()  # the first time this takes as long as the network does
    serves = listen is not None or not HAS_TERMINALS
    made = FaultyWire(
        board,
        "socket" if serves else "pty",
        baudrate=baud,
        latency=latency,
        jitter=jitter,
        drop=drop,
        corrupt=corrupt,
        duplicate=duplicate,
        seed=seed,
        link=_address(listen or "0") if serves else link,
    )

    def arm() -> None:
        for direction, place, fault in (
            (made.to_host, cut_after_to_host, Cut()),
            (made.to_board, cut_after_to_board, Cut()),
            (made.to_host, stall_after_to_host, Stall()),
            (made.to_board, stall_after_to_board, Stall()),
        ):
            if place is not None:
                direction.at(place, fault)

    with stop_request() as stop:
        carry(made, stop, arm, for_, replug_after)


def _address(where: str) -> str:
    host, _, number = where.rpartition(":")
    if not number.isascii() or not number.isdecimal() or int(number) > 65535:
        raise SettingsError(f"{where!r} is no TCP port; write PORT or HOST:PORT, as in 4000 or 0.0.0.0:4000")
    return f"{host or LOOPBACK}:{number}"
