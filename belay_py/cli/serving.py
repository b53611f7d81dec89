"""A virtual board at a place where any other tool can open it: a pseudo-terminal, a TCP port, standard streams."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

from belay_py.errors import BelayError, DeviceBusy, OutcomeUnknown, SettingsError
from belay_py.testing.links import linked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.cli.signals import StopRequest
    from belay_py.virtual import BoardProcess

HAS_TERMINALS = hasattr(os, "openpty")
LOOPBACK = "127.0.0.1"
_CHUNK = 4096
_LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the board's process is alive; a signal is seen at once."""


@contextlib.contextmanager
def terminal(board: BoardProcess, link: str | None) -> Iterator[str]:
    """Connect the board to a new pseudo-terminal; give the path to open.

    The board's own process reads and writes the other side, so nothing is forwarded here.
    """
    import tty  # noqa: PLC0415  Windows has none

    ours, theirs = os.openpty()
    try:
        # A client that sets nothing (cat, socat) gets the bytes as they are, too.
        tty.setraw(theirs)
        path = os.ttyname(theirs)
        try:
            board.attach(ours, holder=f"the pseudo-terminal {path}")
        finally:
            os.close(ours)
        with linked(link, path) if link else contextlib.nullcontext():
            # `theirs` stays open: without it the first client that closes would hang up the line for good.
            yield link or path
    finally:
        os.close(theirs)


def watch(board: BoardProcess, stop: StopRequest) -> None:
    """Wait for a signal. Raises `OutcomeUnknown` when the board's process ends before."""
    while not stop.requested:
        stop.wait(timeout=_LOOK_INTERVAL)
        _check_alive(board)


@contextlib.contextmanager
def listening(where: str) -> Iterator[socket.socket]:
    """Listen at ``[HOST:]PORT``. Raises `SettingsError`."""
    host, port = _address(where)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise SettingsError(
            f"cannot listen on {where} ({reason}); choose another port, or 0 for any that is free"
        ) from error
    with listener:
        yield listener


def standard_streams(board: BoardProcess, stop: StopRequest) -> None:
    """Connect the board to standard input and output, until the input ends or a signal comes.

    Raises `OutcomeUnknown` as `watch` does.
    """
    wire = board.open_wire("standard input and output")
    wire.setblocking(True)
    over, ended = socket.socketpair()
    # Daemon threads: nothing but the other end can end a read of standard input.
    for copy in (_read_input, _write_output):
        threading.Thread(target=copy, args=(wire, ended), daemon=True).start()
    with over, ended, wire:
        while not stop.requested and not stop.wait(over, timeout=_LOOK_INTERVAL):
            _check_alive(board)
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)


def _read_input(wire: socket.socket, ended: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(0, _CHUNK):
            wire.sendall(data)
    with contextlib.suppress(OSError):
        ended.send(b"\0")


def _write_output(wire: socket.socket, ended: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := wire.recv(_CHUNK):
            while data:
                data = data[os.write(1, data) :]
    with contextlib.suppress(OSError):
        ended.send(b"\0")


def url(listener: socket.socket) -> str:
    """The port to name to ``belay-py``, or to pyserial."""
    host, port = listener.getsockname()[:2]
    return f"socket://[{host}]:{port}" if ":" in host else f"socket://{host}:{port}"


def accept(board: BoardProcess, listener: socket.socket, stop: StopRequest) -> None:
    """Connect one client after the other to the board, until a signal comes. Raises `OutcomeUnknown` as `watch` does.

    A serial port has one user: the next client is refused while one is there, rather than left to wait for an answer.
    """
    listener.setblocking(False)
    while not stop.requested:
        if stop.wait(listener, timeout=_LOOK_INTERVAL):
            # A client may be gone before it is accepted.
            with contextlib.suppress(BlockingIOError, ConnectionError):
                client, address = listener.accept()
                with client:
                    _attach(board, client, f"{address[0]} port {address[1]}")
        _check_alive(board)


def _attach(board: BoardProcess, client: socket.socket, name: str) -> None:
    try:
        board.attach(client, holder=name)
    except DeviceBusy as error:
        print(f"refused {name}: the board is in use by {error.holder}", file=sys.stderr)
    except BelayError:
        if board.is_running:
            raise


def _check_alive(board: BoardProcess) -> None:
    if not board.is_running:
        raise OutcomeUnknown("the virtual board's process has ended; start it again")


def _address(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not port.isascii() or not port.isdecimal():
        raise SettingsError(f"{where!r} is no TCP port; write PORT or HOST:PORT, as in 4000 or 0.0.0.0:4000")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)
