"""Which board a port string means, told without opening it: what locks and profiles go by."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from belay_py.devices.discovery import list_devices
from belay_py.errors import ConnectionFailed

if TYPE_CHECKING:
    from belay_py.devices.discovery import Comports, DeviceInfo

# One letter before the colon is a Windows drive, and a slash or a dot before it is a path
# (/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0).
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
# pyserial's other classes for a local port: alt:///dev/ttyUSB0?class=PosixPollSerial.
_WRAPPER = re.compile(r"alt://([^?]+)", re.IGNORECASE)
_PSEUDO_TERMINALS = range(136, 144)  # Linux, Documentation/admin-guide/devices.txt
_NETWORK = ("socket", "rfc2217")


def scheme_of(port: str) -> str | None:
    """The scheme of a port that is a URL, in lower case; None for a path or a COM name."""
    url = _URL.match(port)
    return None if url is None else url[1].lower()


def local_path(port: str) -> str | None:
    """The path or COM name behind a port of this machine; None for what is reached in another way."""
    wrapped = _WRAPPER.match(port)
    if wrapped is not None:
        return wrapped[1]
    return port if scheme_of(port) is None else None


def makes_its_board(port: str) -> bool:
    """Whether opening the port makes a new board, which nobody could have taken for another one."""
    scheme = scheme_of(port)
    if scheme == "virtual":
        return port.partition(":")[2].partition("?")[0] == ""
    return scheme in ("process", "process+pty")


def identity(port: str, comports: Comports | None = None) -> str | None:
    """A name that is the same for every way to the same board, and for no other board. None: it has no rivals.

    Best first: vendor, product, serial number and interface on USB; the place on the bus; the path without symbolic
    links; host and port over a network. A name that several ports would share does not count: cheap bridges all have
    the serial number 0001. Pseudo-terminals have their path. Boards of this process (``memory:``, ``process:`` and the
    like) need no name.
    """
    if scheme_of(port) in _NETWORK:
        with contextlib.suppress(ValueError):  # no such port number
            parts = urlsplit(port)
            return f"tcp-{parts.hostname}-{parts.port}"
        return None
    path = local_path(port)
    if path is None:
        return None
    node = real_path(path)
    devices = devices_beside(node, comports)
    mine = next((device for device in devices if real_path(device.port) == node), None)
    for name in (by_serial_number, by_location):
        found = None if mine is None else name(mine)
        if found is not None and Counter(map(name, devices))[found] == 1:
            return found
    return node


def names(port: str, comports: Comports | None = None) -> tuple[str, ...]:
    """All names to lock, of which any two who ask for one board share at least one; empty for what has no rivals.

    `identity` alone is not enough: it depends on which other ports there are (a twin with the same serial number), on a
    listing that may fail, and on the name of the device node (mknod, a container's own /dev). So the first name of a
    local port is the number of its device, which the kernel gives; where there is one, the identity on USB follows.
    """
    best = identity(port, comports)
    if best is None:
        return ()
    path = local_path(port)
    if path is None:
        return (best,)
    node = real_path(path)
    number = _device_number(node) or node
    return (number,) if best == node else (number, best)


def describe(port: str, comports: Comports | None = None) -> DeviceInfo | None:
    """What the system knows about the device behind a local port; None when that is nothing, or the port is not local.

    Nothing is opened. This reads sysfs on Linux and may block for a moment: not for an event loop.
    """
    path = local_path(port)
    if path is None:
        return None
    node = real_path(path)
    return next((device for device in devices_beside(node, comports) if real_path(device.port) == node), None)


def can_be_listed(node: str) -> bool:
    """Whether a listing could tell anything about a path. On Linux a look at sysfs says so, and saves 10 ms."""
    return sys.platform != "linux" or Path("/sys/class/tty", Path(node).name, "device").exists()


def devices_beside(node: str, comports: Comports | None) -> list[DeviceInfo]:
    """All ports; none where the system could not tell anything about ``node`` anyway."""
    return all_devices(comports) if comports is not None or can_be_listed(node) else []


def all_devices(comports: Comports | None) -> list[DeviceInfo]:
    """All ports; none when they cannot be listed, which must not hinder the use of a port that works."""
    try:
        return list_devices(comports)
    except ConnectionFailed:
        return []


def by_serial_number(device: DeviceInfo) -> str | None:
    """A name from vendor, product, serial number and interface; None where one of the first three is missing."""
    if device.vid is None or device.pid is None or not device.serial_number:
        return None
    # The end of a location such as 1-2:1.0 is the interface: one board may have several ports.
    interface = (device.location or "").partition(":")[2] or device.interface or ""
    return f"usb-{device.vid:04X}-{device.pid:04X}-{device.serial_number}-{interface}"


def by_location(device: DeviceInfo) -> str | None:
    """A name from the place on the bus, where that is known."""
    return f"usb-at-{device.location}" if device.location else None


def _device_number(node: str) -> str | None:
    try:
        status = Path(node).stat()
    except (OSError, ValueError):  # ValueError: a NUL
        return None
    if sys.platform == "win32" or not stat.S_ISCHR(status.st_mode):
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    # Each container may have pseudo-terminals of its own, with the same numbers in another file system.
    instance = f"-{status.st_dev}" if major in _PSEUDO_TERMINALS else ""
    return f"dev-{major}-{minor}{instance}"


def real_path(path: str) -> str:
    """A path without symbolic links; a COM name in upper case."""
    # A COM name is no path, and realpath would put the current folder in front of it.
    if sys.platform == "win32":
        return path.upper()
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL; opening will say so
        return path
