"""``wire``: a faulty wire before a board, for any other tool."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import seconds
from belay_py.cli.serving import HAS_TERMINALS, LOOPBACK
from belay_py.cli.signals import StopRequest, stop_request
from belay_py.errors import Disconnected, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.testing import FaultyWire

_LOOK_INTERVAL = 0.1
"""Seconds between two looks at what became of the wire; a signal is seen at once."""


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
    from belay_py.testing import Cut, FaultyWire, Stall  # noqa: PLC0415  asyncio and more: 60 ms that --help saves

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
        asyncio.run(_Run(made, stop, for_, replug_after).run(arm))


class _Run:
    def __init__(self, wire: FaultyWire, stop: StopRequest, limit: float, replug_after: float | None) -> None:
        self._wire = wire
        self._stop = stop
        self._end = time.monotonic() + limit
        self._replug_after = replug_after
        self._to_board = self._to_host = 0

    async def run(self, arm: Callable[[], None]) -> None:
        async with self._wire as wire:
            arm()
            print(wire.port, flush=True)
            _say(f"a wire to {wire.board_port} is at {wire.port}. Ctrl-C ends it")
            try:
                while await self._goes_on():
                    if wire.is_cut:
                        await self._after_cut()
            finally:
                if not wire.is_cut:
                    self._count()
                _say(f"{self._to_board} bytes passed to the board, {self._to_host} to the host")

    async def _goes_on(self, longest: float = _LOOK_INTERVAL) -> bool:
        left = self._end - time.monotonic()
        if left > 0 and not self._stop.requested:
            await asyncio.to_thread(self._stop.wait, timeout=min(left, longest))
        return not self._stop.requested and time.monotonic() < self._end

    async def _after_cut(self) -> None:
        self._count()
        if not self._wire.has_board:
            raise Disconnected(f"{self._wire.board_port} is gone; plug it in again and start the wire anew")
        if self._replug_after is None:
            _say("the wire is cut; Ctrl-C ends it")
            while await self._goes_on():
                pass
            return
        _say(f"the wire is cut; it is plugged in again in {self._replug_after:g} s")
        again = time.monotonic() + self._replug_after
        while (left := again - time.monotonic()) > 0 and await self._goes_on(left):
            pass
        if left <= 0:
            await self._wire.replug()
            _say(f"the wire is plugged in again at {self._wire.port}")

    def _count(self) -> None:
        self._to_board += self._wire.to_board.passed
        self._to_host += self._wire.to_host.passed


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _address(where: str) -> str:
    host, _, number = where.rpartition(":")
    if not number.isascii() or not number.isdecimal() or int(number) > 65535:
        raise SettingsError(f"{where!r} is no TCP port; write PORT or HOST:PORT, as in 4000 or 0.0.0.0:4000")
    return f"{host or LOOPBACK}:{number}"
