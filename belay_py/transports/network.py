"""Transports whose bytes cross a network: what the system still holds of them must not arrive later than is wanted.

A network can be away for minutes and come back. The system sends until then whatever a closed connection had left, so
an old command would run on a board that somebody else uses by now. Closing with a reset takes that back.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from belay_py.transports.base import Transport

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LINGER_NOT = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)  # Windows has shorts there


def crosses_a_network(transport: Transport) -> bool:
    """Whether there is a TCP connection beneath it: ``socket://`` and ``rfc2217://``, traced or not."""
    return _socket_of(transport) is not None


def throw_away(transport: Transport) -> None:
    """Abort it and, where it crosses a network, have the system forget what it has not delivered. Never raises."""
    connection = _socket_of(transport)
    if connection is not None:
        with contextlib.suppress(OSError):  # it has ended meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def _socket_of(transport: Transport) -> socket.socket | None:
    transport = getattr(transport, "traced", transport)
    tell = getattr(transport, "get_extra_info", None)
    found: Any = None if tell is None else tell("socket")
    if found is None or found.family not in _INTERNET:
        return None
    return cast("socket.socket", found)
