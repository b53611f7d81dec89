"""Which of the ports that are there now is the board that was seen before: a decision, and nothing else.

A board is told by what the system says of its port, best first: vendor, product, serial number and interface; the place
on the bus (what Linux calls by-path); the name that it was given. A wrong guess is worse than none: opening a port
interrupts what runs behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from belay_py.devices.identity import by_location, by_serial_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from belay_py.devices.discovery import DeviceInfo

# What bridges have before anybody gives them a number of their own: 0001 for Silicon Labs' (AN721), zeros elsewhere.
_FACTORY_MADE = re.compile(r"0*1?")


@dataclass(frozen=True, slots=True)
class Sighting:
    """The port of a board as it was when that was connected.

    ``numbered``: its serial number told it from all other ports, so that it is known by it wherever it turns up.
    """

    device: DeviceInfo
    numbered: bool

    @classmethod
    def of(cls, device: DeviceInfo, devices: Sequence[DeviceInfo]) -> Sighting | None:
        """What to remember of a device, one of ``devices``; None where it has neither a number nor a place."""
        name = by_serial_number(device)
        alone = name is not None and sum(by_serial_number(other) == name for other in devices) == 1
        numbered = alone and not _FACTORY_MADE.fullmatch(device.serial_number or "")
        return cls(device, numbered) if numbered or by_location(device) is not None else None

    def __str__(self) -> str:
        """The board, for people: ``usb:2E8A:0005:E6614…``, with its place where its number does not tell it."""
        return named(self.device, with_place=not self.numbered)


class Verdict(NamedTuple):
    """Where the board is: ``device``; or None, and ``stranger`` is who has the name that it was given."""

    device: DeviceInfo | None
    stranger: DeviceInfo | None = None


def named(device: DeviceInfo, *, with_place: bool = False) -> str:
    """A device for people."""
    place = f" at {device.location}" if with_place and device.location else ""
    return f"{device.usb or device.port}{place}"


def locate(board: Sighting, here: DeviceInfo | None, devices: Sequence[DeviceInfo], *, can_be_asked: bool) -> Verdict:
    """Find the board among ``devices``; ``here`` is that which has its given name now.

    When nothing is found and nobody else has the name, both parts are None: whatever the name leads to may be tried.
    ``can_be_asked`` says that the board's own unique id is known and will be compared afterwards; without it a device
    that could be another one is taken for one.
    """
    found = _by_number(board, devices) if board.numbered else _by_place(board, devices)
    if len(found) > 1:
        found = _by_place(board, found)
    if len(found) > 1:
        found = [device for device in found if device is here]  # several ports of one board, without their numbers
    if found:
        return Verdict(found[0])
    if here is not None and _is_another(board, here, devices, can_be_asked=can_be_asked):
        return Verdict(None, here)
    return Verdict(None)


def _by_number(board: Sighting, devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    name = by_serial_number(board.device)
    return [device for device in devices if by_serial_number(device) == name]


def _by_place(board: Sighting, devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    def kind(device: DeviceInfo) -> tuple[object, ...]:
        return device.vid, device.pid, device.serial_number, device.location

    return [device for device in devices if device.location and kind(device) == kind(board.device)]


def _is_another(board: Sighting, here: DeviceInfo, devices: Sequence[DeviceInfo], *, can_be_asked: bool) -> bool:
    then = board.device
    if board.numbered:
        if here.serial_number != then.serial_number:
            return True
        # The same number with another product or interface is the same board with other firmware. Twins are not.
        return len(_by_number(board, devices)) > 1
    if (here.vid, here.pid, here.serial_number) != (then.vid, then.pid, then.serial_number):
        return True
    return not can_be_asked  # one of the same kind in another socket
