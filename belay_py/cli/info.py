"""``info``: what a board says about itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from belay_py.cli import boards
from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Baudrate, Json, Port, Trace, seconds
from belay_py.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from belay_py.session.info import BoardInfo

# A board is asked while it is connected, so both names mean the same here.
_Timeout = Annotated[
    float,
    typer.Option(
        "--connect-timeout",
        "--timeout",
        "-t",
        parser=seconds,
        metavar="SECONDS",
        help="How long the board may take to answer.",
    ),
]


@with_exit_status
def info(
    *,
    port: Port = None,
    timeout: _Timeout = 30.0,
    baudrate: Baudrate = 115200,
    as_json: Json = False,
    trace: Trace = None,
) -> None:
    """Show what the board is: its firmware, hardware, unique id and memory.

    \b
    Examples:
      belay-py info
      belay-py info --port virtual: --json
    """
    with boards.session(port, baudrate, timeout, trace) as board:
        where, about = board.options.port, board.info
    if as_json:
        print_json({"port": where, **dataclasses.asdict(about), "version": _version(about)})
    else:
        print_table(_rows(where, about))


def _version(about: BoardInfo) -> str:
    return ".".join(map(str, about.version))


def _rows(port: str, about: BoardInfo) -> list[tuple[str, str]]:
    can, heap = about.capabilities, about.heap
    facts: list[tuple[str, object]] = [
        ("port", port),
        ("firmware", f"{about.implementation} {_version(about)}"),
        ("machine", about.machine),
        ("platform", about.platform),
        ("unique id", about.unique_id),
        ("heap", heap and f"{heap.free} bytes free of {heap.free + heap.allocated}"),
        ("floats", f"{can.float_bits} bits" if can.float_bits else "none"),
        ("raw-paste", f"yes, window {can.window}" if can.raw_paste else "no"),
        ("binary stdout", "yes" if can.binary_stdout else "no"),
        # The low byte is the version, as in `mpy-cross --version`: https://docs.micropython.org/en/latest/reference/mpyfiles.html
        (".mpy files", None if about.mpy is None else f"version {about.mpy & 0xFF}"),
    ]
    return [(name, str(fact)) for name, fact in facts if fact is not None]
