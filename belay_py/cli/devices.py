"""``devices``: which ports there are, and what is probably behind them."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Json  # noqa: TC001  typer reads it
from belay_py.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from belay_py.devices import DeviceInfo


@with_exit_status
def devices(*, as_json: Json = False) -> None:
    """List the serial ports and what they probably are. No port is opened: opening can reset a board.

    \b
    Examples:
      belay-py devices
      belay-py devices --json
    """
    from belay_py.devices import list_devices  # noqa: PLC0415  pyserial's listing costs 10 ms

    found = list_devices()
    if as_json:
        print_json([{**dataclasses.asdict(device), "usb": device.usb} for device in found])
    elif found:
        print_table(map(_row, found), ("PORT", "PROBABLY", "DESCRIPTION", "USB"))
    if not found:
        print("no serial port was found: plug a board in, or use --port virtual:", file=sys.stderr)


def _row(device: DeviceInfo) -> tuple[str, str, str, str]:
    if device.likely_micropython:
        probably = f"a board ({device.family})"
    elif device.maybe_micropython:
        probably = f"maybe a board ({device.family})"
    else:
        probably = "no board"
    return device.port, probably, device.description, device.usb or ""
