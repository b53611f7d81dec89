"""Why a serial port did not open, in words that say what to do.

pyserial raises SerialException for nearly everything, ValueError for a bad rate, and lets termios.error through,
which is no OSError. Each is looked at once, here, after the failure: before it, the answer could change.
"""

from __future__ import annotations

import difflib
import errno
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py.devices.discovery import list_devices
from belay_py.devices.holders import holder
from belay_py.errors import BelayError, ConnectionFailed, DeviceBusy, DeviceNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.transports.base import LinkOptions

_BUSY = (errno.EAGAIN, errno.EBUSY)
_NO_SUCH_NAME = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
_VANISHED = (errno.ENXIO, errno.ENODEV, errno.EIO)
_HIGHEST_RATE = 2**31 - 1  # what Linux's termios2 holds


def check_options(port: str, options: LinkOptions) -> None:
    """Refuse a rate that drivers would misread: 0 means *hang up* to termios. Raises `ConnectionFailed`."""
    rate = options.baudrate
    if not isinstance(rate, int) or isinstance(rate, bool) or not 0 < rate <= _HIGHEST_RATE:
        raise ConnectionFailed(f"cannot open {port} at {rate!r} baud: use a whole number such as 115200")


def check_kind(port: str) -> None:
    """Refuse what exists and is no character device. Raises `ConnectionFailed`; a missing path is left to opening."""
    try:
        mode = Path(port).stat().st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISCHR(mode):
        return
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    kind = next((name for test, name in kinds if test(mode)), "something else")
    raise ConnectionFailed(f"{port} is {kind}, not a serial port: name one such as /dev/ttyACM0")


def explain(port: str, exc: Exception, *, devices: Iterable[str] | None = None) -> BelayError:  # noqa: PLR0911  one return per reason
    """The error to raise for ``exc``, which came from opening ``port``.

    ``devices`` are the ports to choose from, by default those of this machine.
    """
    number = _errno(exc)
    if number in _NO_SUCH_NAME or isinstance(exc, FileNotFoundError) or "FileNotFoundError" in str(exc):
        return _not_found(port, devices)
    if number in _BUSY:
        who = holder(port)
        return DeviceBusy(f"{port} is in use{f' by {who}' if who else ''}: end that, or wait", holder=who)
    if number == errno.EACCES or "PermissionError" in str(exc):
        return _not_permitted(port)
    if number in _VANISHED:
        return ConnectionFailed(f"{port} has no device behind it (any more): plug it in again")
    if number == errno.ENOTTY:
        return ConnectionFailed(f"{port} is a device, but not a serial port: name one such as /dev/ttyACM0")
    if isinstance(exc, ValueError) and "\0" in port:
        return DeviceNotFound("a port cannot have a NUL in its name: name one such as /dev/ttyACM0")
    if isinstance(exc, ValueError) and "baud" in str(exc):
        return ConnectionFailed(f"{port} does not take this rate ({_line(exc)}): use a usual one such as 115200")
    return ConnectionFailed(f"cannot open {port}: {_line(exc)}")


def _not_found(port: str, devices: Iterable[str] | None) -> DeviceNotFound:
    try:
        there = [device.port for device in list_devices()] if devices is None else list(devices)
    except ConnectionFailed:
        there = []
    if not there:
        return DeviceNotFound(f"there is no {port}, nor any other serial port: plug a board in, or use virtual:")
    near = difflib.get_close_matches(port, there, n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}? " if near else ""
    return DeviceNotFound(f"there is no {port}: {hint}there are {', '.join(there)}")


def _not_permitted(port: str) -> ConnectionFailed | DeviceBusy:
    message = f"no permission to open {port}"
    if sys.platform == "win32":  # where ports are exclusive, and this is how that shows
        return DeviceBusy(f"{port} is in use: another program has it open; close that")
    import grp  # noqa: PLC0415  Windows has none

    try:
        status = Path(port).stat()
        group = grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError):
        return ConnectionFailed(f"{message}: ask who administers this machine for access to it")
    needed = stat.S_IRGRP | stat.S_IWGRP
    if group == "root" or status.st_mode & needed != needed:
        return ConnectionFailed(
            f"{message} (group {group}, mode {stat.S_IMODE(status.st_mode):o}): add a udev rule that gives you access"
        )
    return ConnectionFailed(
        f"{message}: join its group with `sudo usermod -aG {group} $USER`, log out and in again, then try again"
    )


def _errno(exc: BaseException | None) -> int | None:
    """The system's number: termios.error has it as its first argument, pyserial often only in what it handled."""
    while exc is not None:
        if exc.args and isinstance(exc.args[0], int):
            return exc.args[0]
        exc = exc.__cause__ or exc.__context__
    return None


def _line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
