"""Options that several verbs have, and how their values are read."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from belay_py.devices.discovery import PORT_VARIABLE
from belay_py.durations import parse_duration
from belay_py.errors import SettingsError


def seconds(text: str | float) -> float:
    """Read a duration: ``90``, ``1.5``, ``500ms``, ``5m``, ``1h30m``, or ``inf`` for no limit."""
    if isinstance(text, float):  # typer passes a default through here as well
        return text
    if text.strip().lower() == "none":
        return math.inf
    try:
        return parse_duration(text)
    except SettingsError as error:
        raise typer.BadParameter(f"{error}; inf is no limit.") from error


_PORT_HELP = (
    "A path (/dev/ttyACM0, COM3), usb:VID:PID[:SERIAL], socket://HOST:PORT, rfc2217://HOST:PORT, "
    "process:COMMAND or virtual:. Without it, the only board that is plugged in."
)
Port = Annotated[
    str | None,
    typer.Option("--port", "-p", envvar=PORT_VARIABLE, metavar="PORT", help=_PORT_HELP, show_default=False),
]
PortByName = Annotated[
    str | None, typer.Option("--port", envvar=PORT_VARIABLE, metavar="PORT", help=_PORT_HELP, show_default=False)
]
"""The same where -p means what it means to everybody, as for mkdir."""
Baudrate = Annotated[int, typer.Option("--baudrate", "-b", metavar="RATE", help="The speed of a serial port.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        "-t",
        parser=seconds,
        metavar="SECONDS",
        help="Stop the board after this long; also 500ms, 5m, 1h, inf.",
        show_default=False,
    ),
]
WatchTimeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        "-t",
        parser=seconds,
        metavar="SECONDS",
        help="Stop watching after this long; also 500ms, 5m, 1h, inf.",
        show_default=False,
    ),
]
ConnectTimeout = Annotated[
    float,
    typer.Option(
        "--connect-timeout",
        parser=seconds,
        metavar="SECONDS",
        help="How long opening the port and reaching the board's prompt may take.",
    ),
]
Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Pass the output's bytes on as the board sends them, with \\r\\n at each line's end. For binary output.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Trace = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="Write every byte on the wire to FILE, with its time, after what is there already. It can hold secrets.",
        show_default=False,
    ),
]
