"""The serial ports of this machine, and which of them is meant.

Nothing here opens a port: opening can reset a board (micropython #9659). All is told from what the system keeps about
USB devices, by way of pyserial's ``list_ports``.
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from belay_py.devices.usb_ids import classify
from belay_py.errors import ConnectionFailed, DeviceNotFound

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo

Comports: TypeAlias = Callable[[], "Iterable[ListPortInfo]"]
"""What lists the ports: pyserial's ``comports``, or a test's."""

PORT_VARIABLE = "BELAY_PORT"
"""The environment variable that names the port to use when a program names none."""

_LISTING_ATTEMPTS = 3
_LEGACY = re.compile(r"/dev/ttyS\d+")
_USB = re.compile(r"usb:([0-9a-f]{1,4}):([0-9a-f]{1,4})(?::(.+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """One serial port, as the system describes it. What it does not tell is None.

    ``likely_micropython``: the numbers are those of boards that run MicroPython or CircuitPython.
    ``maybe_micropython``: they are those of a bridge or probe, behind which a board may be.
    """

    port: str
    description: str
    vid: int | None = None
    pid: int | None = None
    serial_number: str | None = None
    manufacturer: str | None = None
    product: str | None = None
    interface: str | None = None
    location: str | None = None
    likely_micropython: bool = False
    maybe_micropython: bool = False
    family: str | None = None

    @property
    def usb(self) -> str | None:
        """The port string that finds this board wherever it is plugged in: ``usb:2E8A:0005:E6614…``."""
        if self.vid is None or self.pid is None:
            return None
        return f"usb:{self.vid:04X}:{self.pid:04X}" + (f":{self.serial_number}" if self.serial_number else "")

    def __str__(self) -> str:
        """One line for lists of choices: ``/dev/ttyACM0 (Board in FS mode, usb:2E8A:0005:E6614…)``."""
        return f"{self.port} ({self.description}{f', {self.usb}' if self.usb else ''})"


def list_devices(comports: Comports | None = None) -> list[DeviceInfo]:
    """The serial ports there are, likely boards first, otherwise in natural order. No port is opened.

    Raises `ConnectionFailed` when the system cannot list its ports.
    """
    found = (_info(port) for port in _ports(comports) if not _is_phantom(port))
    return sorted(found, key=lambda device: (not device.likely_micropython, not device.maybe_micropython, _key(device)))


def resolve(port: str, comports: Comports | None = None) -> str:
    """The path that ``usb:VID:PID[:SERIAL]`` means now. VID and PID are hexadecimal; letters may be of either case.

    Of a board with several ports (a console and a data port, say), the one with the lowest interface is meant:
    CircuitPython and the pyboard have their REPL there.

    Raises `ConnectionFailed` for a string that is none, `DeviceNotFound` when no board fits or more than one does.
    """
    match = _USB.fullmatch(port)
    if match is None:
        raise ConnectionFailed(f"{port!r} is no USB port: write usb:VID:PID or usb:VID:PID:SERIAL, as in usb:2E8A:0005")
    vid, pid, serial = int(match[1], 16), int(match[2], 16), match[3]
    devices = list_devices(comports)
    same_kind = [device for device in devices if (device.vid, device.pid) == (vid, pid)]
    fitting = [device for device in same_kind if serial is None or _same(device.serial_number, serial)]
    boards = _boards(fitting)
    if len(boards) == 1:
        return boards[0].port
    if boards:
        raise DeviceNotFound(f"{port} fits {len(boards)} boards, name one: {_choices(boards)}")
    if same_kind:
        near = difflib.get_close_matches(serial, [device.serial_number or "" for device in same_kind], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise DeviceNotFound(f"no board {port}: {hint}of this kind there are {_choices(_boards(same_kind))}")
    raise DeviceNotFound(f"no board {port}: {_what_there_is(devices)}")


def resolve_pattern(port: str, comports: Comports | None = None) -> str:
    """The path that ``hwgrep://PATTERN`` means now: a regular expression, of any case, as pyserial reads it.

    It is searched in a port's name, description and hardware numbers. pyserial takes the first that fits; here one
    has to be the only one, and no port is opened to see whether it is free.

    Raises `ConnectionFailed` for what is no pattern, `DeviceNotFound` when no port fits or more than one does.
    """
    pattern = port.partition("://")[2]
    try:
        wanted = re.compile(pattern, re.IGNORECASE)
    except re.error as exc:
        raise ConnectionFailed(f"{port} is no regular expression ({exc}): write hwgrep://PATTERN") from exc
    if not pattern or "&" in pattern:
        raise ConnectionFailed(f"{port} has no pattern, or options, which are not supported: write hwgrep://PATTERN")
    listed = [item for item in _ports(comports) if not _is_phantom(item)]
    fitting = [
        item for item in listed if any(map(wanted.search, (item.device, item.description or "", item.hwid or "")))
    ]
    if len(fitting) == 1:
        return fitting[0].device
    if fitting:
        raise DeviceNotFound(f"{port} fits {len(fitting)} ports, name one: {_choices(map(_info, fitting))}")
    raise DeviceNotFound(f"no port fits {port}: {_what_there_is(list(map(_info, listed)))}")


def default_port(comports: Comports | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The port to use when none is named: that in ``BELAY_PORT``, or else of the only board there is.

    A board whose numbers are MicroPython's goes before bridges behind which one may be.

    Raises `DeviceNotFound` when there is none, or more than one.
    """
    named = environ.get(PORT_VARIABLE, "").strip()
    if named:
        return named
    devices = list_devices(comports)
    likely = _boards(device for device in devices if device.likely_micropython)
    boards = likely or _boards(device for device in devices if device.maybe_micropython)
    if len(boards) == 1:
        return boards[0].port
    if boards:
        raise DeviceNotFound(
            f"there are {len(boards)} boards, name one with --port or {PORT_VARIABLE}: {_choices(boards)}"
        )
    raise DeviceNotFound(_what_there_is(devices))


def listed_once() -> Comports:
    """The system's listing, made at its first use and the same from then on, for those who look at one moment."""

    @functools.cache
    def comports() -> list[ListPortInfo]:
        return _ports(None)

    return comports


def _ports(comports: Comports | None) -> list[ListPortInfo]:
    if comports is None:
        from serial.tools import list_ports  # noqa: PLC0415  costs 10 ms that most programs never need

        comports = list_ports.comports
    for attempt in range(_LISTING_ATTEMPTS):
        try:
            return list(comports())
        # pyserial reads one file per fact, and int(None) raises TypeError when the board goes meanwhile.
        except (OSError, TypeError, ValueError) as exc:
            if attempt == _LISTING_ATTEMPTS - 1:
                raise ConnectionFailed(f"the system cannot list its serial ports ({exc}): name one") from exc
    return []


def _is_phantom(port: ListPortInfo) -> bool:
    """Linux makes /dev/ttyS0 to 31 whether there is hardware or not; real ones have an identity on their bus."""
    return port.vid is None and port.hwid in {None, "", "n/a"} and _LEGACY.fullmatch(port.device) is not None


def _info(port: ListPortInfo) -> DeviceInfo:
    likelihood, family = classify(port.vid, port.pid)
    return DeviceInfo(
        port=port.device,
        description=port.product or (port.description if port.description not in {None, "n/a"} else port.name),
        vid=port.vid,
        pid=port.pid,
        serial_number=port.serial_number,
        manufacturer=port.manufacturer,
        product=port.product,
        interface=port.interface,
        location=port.location,
        likely_micropython=likelihood == "likely",
        maybe_micropython=likelihood == "maybe",
        family=family,
    )


def _boards(devices: Iterable[DeviceInfo]) -> list[DeviceInfo]:
    """One device per board: the port of its lowest interface, which is the end of a location such as 1-2:1.0."""
    boards: dict[object, DeviceInfo] = {}
    for device in sorted(devices, key=lambda device: (_natural(device.location or ""), _key(device))):
        place = device.location.partition(":")[0] if device.location else device.port
        boards.setdefault((device.vid, device.pid, device.serial_number, place), device)
    return list(boards.values())


def _what_there_is(devices: list[DeviceInfo]) -> str:
    if not devices:
        return "no board is plugged in: plug one in, or use --port virtual:"
    return f"no board was recognised: plug one in, use --port virtual:, or name a port with --port: {_choices(devices)}"


def _choices(devices: Iterable[DeviceInfo]) -> str:
    return ", ".join(map(str, devices))


def _same(ours: str | None, wanted: str) -> bool:
    return ours is not None and ours.casefold() == wanted.casefold()


def _key(device: DeviceInfo) -> list[tuple[int, str]]:
    return _natural(device.port)


def _natural(text: str) -> list[tuple[int, str]]:
    """Sorts ttyACM2 before ttyACM10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]
