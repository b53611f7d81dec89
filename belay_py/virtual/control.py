"""Messages between a board's owner and its process: JSON after a four-byte length, a descriptor beside it on POSIX."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import struct
import sys
from typing import Any

_LENGTH = struct.Struct(">I")
_LARGEST = 1 << 20


def send(link: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    """Send a message, and a duplicate of `fd` with it."""
    body = json.dumps(message).encode()
    packet = _LENGTH.pack(len(body)) + body
    if fd is None:
        link.sendall(packet)
    else:
        sent = socket.send_fds(link, [packet], [fd])
        link.sendall(packet[sent:])


def receive(link: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Wait for a message and its descriptor; EOFError when the other side is gone."""
    fds: list[int] = []
    try:
        (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size, fds))
        if length > _LARGEST:
            raise EOFError
        message = json.loads(_exactly(link, length, fds))
    except BaseException:  # it goes on when nothing is left open
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        raise
    return message, fds[0] if fds else None


def _exactly(link: socket.socket, count: int, fds: list[int]) -> bytes:
    data = b""
    while len(data) < count:
        if hasattr(socket, "recv_fds"):
            chunk, found, _, _ = socket.recv_fds(link, count - len(data), 1)
            fds += found
        else:
            chunk = link.recv(count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def share(end: socket.socket, pid: int) -> str:
    """Pack a socket for another process on Windows."""
    if sys.platform == "win32":
        return base64.b64encode(end.share(pid)).decode()
    raise OSError("sockets are shared on Windows only")


def from_share(text: str) -> socket.socket:
    """Unpack what `share` gave."""
    if sys.platform == "win32":
        return socket.fromshare(base64.b64decode(text))
    raise OSError("sockets are shared on Windows only")
