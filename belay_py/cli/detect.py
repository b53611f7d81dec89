"""``detect``: what really is at the ports, asked of them."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from belay_py.cli.endings import complain, with_exit_status
from belay_py.cli.options import Baudrate, Json, seconds
from belay_py.cli.signals import Stopped, breaking_off
from belay_py.cli.tables import print_json, print_table
from belay_py.errors import BelayError

if TYPE_CHECKING:
    from belay_py.session.detect import Detection

_AT_A_TIME = 16  # ports: the slowest kinds take two threads each while they are open

_Ports = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PORT]...", help="Paths or URLs as for --port elsewhere; without any, all serial ports."),
]
_Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        "-t",
        parser=seconds,
        metavar="SECONDS",
        help="How long each port may take; what is no board always takes so long.",
    ),
]


@with_exit_status
def detect(
    ports: _Ports = None,
    *,
    timeout: _Timeout = 5.0,
    baudrate: Baudrate = 115200,
    as_json: Json = False,
) -> None:
    """Tell what is at ports: MicroPython, CircuitPython, something else, or nothing.

    The ports are opened, and programs that run on boards are stopped; nothing is reset. Serial ports that no board is
    behind are sent Ctrl-C and a line of Python. `devices` opens nothing.

    \b
    Examples:
      belay-py detect
      belay-py detect /dev/ttyACM0 socket://bench:4000 --json
    """
    wanted = list(dict.fromkeys(ports or _all_ports()))
    found = _look(wanted, timeout, baudrate)
    rows = list(zip(wanted, found, strict=True))
    # What somebody has named must be there; of all ports of a machine some may be in use.
    failed = [answer for answer in found if isinstance(answer, BelayError)] if ports else []
    if as_json:
        print_json([_as_json(port, answer) for port, answer in rows])
    elif shown := [row for row in rows if row[1] not in failed]:
        print_table([_row(*row) for row in shown], ("PORT", "KIND", "DESCRIPTION"))
    if not wanted:
        print("no serial port was found: plug a board in, or name a port such as virtual:", file=sys.stderr)
    for error in failed[:-1]:
        complain(error)
    if failed:
        raise failed[-1]


def _all_ports() -> list[str]:
    from belay_py.devices import list_devices  # noqa: PLC0415  pyserial's listing costs 10 ms

    return [device.port for device in list_devices()]


def _look(ports: list[str], timeout: float, baudrate: int) -> list[Detection | BelayError]:
    from belay_py.sync.detection import run  # noqa: PLC0415  asyncio and the sessions: 60 ms that --help saves

    if any(port.startswith("virtual:") for port in ports):
        from belay_py.virtual import artifact  # noqa: PLC0415  as above

        # The first time this takes as long as the network does. What it complains of is that port's answer, below.
        with contextlib.suppress(BelayError):
            artifact.load()
    with breaking_off():
        try:
            return run(_look_at_all(ports, timeout, baudrate))
        except Stopped as stop:
            stop.consequence = "all ports were closed"
            raise


async def _look_at_all(ports: list[str], timeout: float, baudrate: int) -> list[Detection | BelayError]:
    import asyncio  # noqa: PLC0415  as above

    from belay_py.session.detect import detect as look  # noqa: PLC0415  as above

    room = asyncio.Semaphore(_AT_A_TIME)

    async def one(port: str) -> Detection | BelayError:
        async with room:
            try:
                return await look(port, timeout=timeout, baudrate=baudrate)
            except BelayError as error:
                return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(port)) for port in ports]
    return [task.result() for task in tasks]


def _row(port: str, answer: Detection | BelayError) -> tuple[str, str, str]:
    if isinstance(answer, BelayError):
        return port, "unknown", " ".join(str(answer).split())
    return port, answer.kind, answer.description


def _as_json(port: str, answer: Detection | BelayError) -> dict[str, Any]:
    if isinstance(answer, BelayError):
        return {"port": port, "kind": None, "error": str(answer)}
    told: dict[str, Any] = {"port": port, "error": None, **dataclasses.asdict(answer)}
    told["heard"] = answer.heard.decode("utf-8", "backslashreplace")
    if answer.info is not None:
        told["info"]["version"] = ".".join(map(str, answer.info.version))
    return told
