"""Ports that pyserial opens in its blocking way: all serial ports on Windows, and pyserial's own URLs everywhere."""

from __future__ import annotations

import errno
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import serial

from belay_py import transports
from belay_py.devices import locks
from belay_py.devices.discovery import resolve_pattern
from belay_py.devices.identity import local_path
from belay_py.errors import BelayError
from belay_py.transports.blocking_port import apply_lines, quietly
from belay_py.transports.offload import offload
from belay_py.transports.port_errors import check_kind, check_options, explain
from belay_py.transports.profiled import profiled
from belay_py.transports.threaded import ThreadedTransport

if TYPE_CHECKING:
    from belay_py.devices.locks import PortLock
    from belay_py.transports.base import LinkOptions, Receiver, Transport
    from belay_py.transports.blocking_port import BlockingPort

_NO_LINES = (errno.ENOTTY, errno.EINVAL)  # as in lines.py, which Windows cannot import


async def open_threaded(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open a serial port, or one of pyserial's URLs, behind two threads. Raises what `open_blocking` raises."""
    device, lock = await offload(partial(open_blocking, port, options), _discard, name=f"belay opening {port}")
    return await ThreadedTransport.start(port, receiver, device, lock)


async def open_pattern(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open the port that ``hwgrep://PATTERN`` means. Raises `DeviceNotFound`, and what its opening raises."""
    # sysfs reads of a sick hub can hang, so not on the loop.
    path = await offload(partial(resolve_pattern, port), lambda _: None, name=f"belay finding {port}")
    return await transports.open_transport(path, receiver, options)


def open_blocking(port: str, options: LinkOptions) -> tuple[BlockingPort, PortLock]:
    """Lock the board and open any port that pyserial knows.

    Raises `DeviceNotFound`, `DeviceBusy`, `ConnectionFailed` or `SettingsError`.
    """
    check_options(port, options)
    path = local_path(port)
    if path is not None:
        check_kind(path)
    options, _ = profiled(port, options)
    lock = locks.take(port, exclusive=options.exclusive)
    device: serial.SerialBase | None = None
    try:
        device = serial.serial_for_url(port, do_not_open=True, exclusive=True if options.exclusive else None)
        device.baudrate = options.baudrate
        if sys.platform == "win32":
            _set_lines(device, options)  # goes with all other settings, in one call
        device.open()
        if sys.platform != "win32":
            # The kernel has raised both lines, pyserial has done so again: only now can they fall in the right order.
            _set_lines(device, options)
    except BaseException as exc:  # it goes on, or one of ours does
        if device is not None:
            quietly(device.close)
        lock.release()
        if isinstance(exc, BelayError) or not isinstance(exc, Exception):
            raise
        raise explain(path or port, exc) from exc
    return cast("BlockingPort", device), lock


def _set_lines(device: serial.SerialBase, options: LinkOptions) -> None:
    try:
        apply_lines(cast("BlockingPort", device), options.dtr, options.rts)
    except OSError as exc:
        if exc.errno not in _NO_LINES:
            raise


def _discard(opened: tuple[BlockingPort, PortLock]) -> None:
    device, lock = opened
    quietly(device.close)
    lock.release()
