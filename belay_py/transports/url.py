"""Ports named by a URL: boards behind a TCP socket or an RFC 2217 server, and boards found by their USB ids."""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import serial
import serial.rfc2217

from belay_py import transports
from belay_py.devices import locks
from belay_py.devices.discovery import resolve
from belay_py.devices.locks import PortLock
from belay_py.errors import ConnectionFailed
from belay_py.transports.blocking_port import apply_lines
from belay_py.transports.offload import offload
from belay_py.transports.port_errors import check_options
from belay_py.transports.profiled import profiled
from belay_py.transports.relay import Relay
from belay_py.transports.threaded import READ_S, ThreadedTransport

if TYPE_CHECKING:
    import socket

    from belay_py.transports.base import LinkOptions, Receiver, Transport


async def open_usb(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open the board that ``usb:VID:PID[:SERIAL]`` names, at whichever path it is now.

    Raises `DeviceNotFound` when none or several fit, and what serial ports raise.
    """
    # sysfs reads of a sick hub can hang, so not on the loop.
    path = await offload(partial(resolve, port), lambda _: None, name=f"belay finding {port}")
    return await transports.open_transport(path, receiver, options)


async def open_socket(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Connect to ``socket://host:port``, a raw TCP byte stream (ser2net's raw mode, esp-link). No line settings.

    Nagle's algorithm is off: asyncio sets TCP_NODELAY on every TCP transport. Raises `DeviceBusy`, `ConnectionFailed`.
    """
    host, number = _address(port)
    lock = await offload(
        partial(locks.take, port, exclusive=options.exclusive), PortLock.release, name=f"belay locking {port}"
    )
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: Relay(port, receiver, lock), host, number
        )
    except BaseException as exc:  # it goes on, or one of ours does
        lock.release()
        if isinstance(exc, OSError):
            raise ConnectionFailed(f"cannot connect to {port} ({exc.strerror or exc}): is its server running?") from exc
        if isinstance(exc, UnicodeError):  # a label longer than 63 characters, among others
            raise ConnectionFailed(f"{port} has no valid host name: write socket://host:port") from exc
        raise
    return cast("Transport", transport)


class _RemotePort(serial.rfc2217.Serial):
    """pyserial's RFC 2217 client, which leaves alone the lines that nobody asked to set."""

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self._opened = False
        self.lock = PortLock()
        super().__init__()

    def _update_dtr_state(self) -> None:
        if self._opened:
            super()._update_dtr_state()  # type: ignore[misc]  # the stubs leave it out

    def _update_rts_state(self) -> None:
        if self._opened:
            super()._update_rts_state()  # type: ignore[misc]  # the stubs leave it out

    def open(self) -> None:
        """Connect and negotiate; blocks up to 5 s for the connection and 3 s for each negotiation."""
        super().open()
        self._opened = True
        apply_lines(self, self._options.dtr, self._options.rts)

    def close(self) -> None:
        """Close, and the socket for sure: pyserial leaves it open when the peer was faster. Never raises."""
        connection: socket.socket | None = self._socket  # type: ignore[attr-defined]  # the stubs leave it out
        with contextlib.suppress(Exception):  # after half an opening there is a thread that was never started
            super().close()
        if connection is not None:
            connection.close()
        self.lock.release()


async def open_rfc2217(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Connect to ``rfc2217://host:port``, a remote serial port whose rate and lines can be set.

    pyserial's client blocks, so it runs in threads of its own. Raises `DeviceBusy` or `ConnectionFailed`.
    """
    check_options(port, options)
    _address(port)
    # pyserial 3.5 calls Thread.setDaemon and setName. Set at each opening, since test runners put filters back.
    warnings.filterwarnings("ignore", r"set(Daemon|Name)\(\)", DeprecationWarning, r"serial\.rfc2217")
    device = await offload(partial(_open_remote, port, options), _RemotePort.close, name=f"belay opening {port}")
    return await ThreadedTransport.start(port, receiver, device)


def _open_remote(port: str, options: LinkOptions) -> _RemotePort:
    options, _ = profiled(port, options)
    device = _RemotePort(options)
    device.port = port
    device.baudrate = options.baudrate
    device.timeout = READ_S
    device.lock = locks.take(port, exclusive=options.exclusive)
    try:
        device.open()
    except Exception as exc:  # a strange server's answers make pyserial raise TypeError, AttributeError and others
        device.close()
        reason = " ".join(str(exc).split())
        raise ConnectionFailed(f"cannot open {port} ({reason}): is an RFC 2217 server running there?") from exc
    return device


def _address(port: str) -> tuple[str, int]:
    scheme = port.partition(":")[0].lower()
    try:
        parts = urlsplit(port)
        host, number = parts.hostname, parts.port
    except ValueError:
        host = number = None
    if not host or not number:
        raise ConnectionFailed(f"{port!r} has no host and port: write {scheme}://host:port, as in {scheme}://pi:4000")
    return host, number
