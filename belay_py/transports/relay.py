"""Stands between one of asyncio's own transports and a receiver, so that every transport ends in the same way.

It costs nothing per chunk: ``data_received`` is the receiver's own bound method.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from belay_py.devices.locks import PortLock
from belay_py.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.transports.base import Receiver, Transport


class Relay(asyncio.Protocol):
    """What asyncio calls; it tells ``receiver`` as `belay_py.transports.base` says, and gives the lock back."""

    def __init__(self, port: str, receiver: Receiver, lock: PortLock | None = None) -> None:
        self.lock = lock or PortLock()
        self._port = port
        self._receiver = receiver
        self._peer_ended = False
        self._transport: asyncio.Transport | None = None
        self.data_received = receiver.data_received  # type: ignore[method-assign]  # the point of this class
        self.pause_writing = receiver.pause_writing  # type: ignore[method-assign]  # as above
        self.resume_writing = receiver.resume_writing  # type: ignore[method-assign]  # as above

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand asyncio's transport on; it has all that `Transport` asks for."""
        self._transport = cast("asyncio.Transport", transport)
        self._receiver.connection_made(cast("Transport", transport))

    def eof_received(self) -> bool:
        """The board is gone, unless the receiver wants to go on writing.

        asyncio would close by waiting until its buffer is empty, which a dead peer may never let it be: abort.
        """
        self._peer_ended = True
        if not self._receiver.eof_received() and self._transport is not None:
            self._transport.abort()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver, once."""
        if exc is not None or self._peer_ended:
            why = f" ({getattr(exc, 'strerror', None) or exc})" if exc else ""
            lost = Disconnected(f"{self._port} has closed the connection{why}: reconnect")
            lost.__cause__ = exc
            exc = lost
        self._transport = None
        self.lock.release()
        self._tell(self._receiver.connection_lost, exc)

    def _tell(self, lost: Callable[[Exception | None], None], exc: Exception | None) -> None:
        lost(exc)
