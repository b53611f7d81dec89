"""The board's side of a faulty wire: any port, opened once, whose bytes another process or a lane takes over."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, cast

from belay_py.transports import open_transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.transports import LinkOptions, Transport


class _Side(asyncio.Protocol):
    """One of two transports that pass their bytes to each other. As a board's `Receiver` it fits, too."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.other: _Side | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: object) -> None:
        self.transport = cast("Transport", transport)
        self.transport.pause_reading()  # until it is known who reads

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self.over.done():
            self.over.set_result(None)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class BoardLink:
    """An open port whose bytes flow through ``end``, which is the wire's process's to read and write.

    A serial port and a socket are handed over as they are, and the transport here only keeps them open and locked; all
    else is passed on by this process's event loop, which costs accuracy while that is busy.
    """

    def __init__(self, board: _Side, end: socket.socket | int, inner: socket.socket | None) -> None:
        self.end = end
        self._board = board
        self._inner = inner

    @classmethod
    async def open(cls, port: str, options: LinkOptions) -> BoardLink:
        """Open ``port``. Raises what `open_transport` does."""
        board = _Side()
        transport = await open_transport(port, board, options)
        try:
            device = getattr(transport, "serial", None)
            if device is not None and hasattr(transport, "_fd"):
                return cls(board, device.fileno(), None)
            find = cast("Callable[[str], socket.socket | None] | None", getattr(transport, "get_extra_info", None))
            found = find("socket") if find is not None else None
            if found is not None:
                return cls(board, found, None)
            return await cls._bridge(board, transport)
        except BaseException:  # it goes on when nothing is left open
            transport.abort()
            raise

    @classmethod
    async def _bridge(cls, board: _Side, transport: Transport) -> BoardLink:
        ours, theirs = socket.socketpair()
        near = _Side()
        try:
            ours.setblocking(False)
            await asyncio.get_running_loop().create_connection(lambda: near, sock=ours)
        except BaseException:  # as above
            ours.close()
            theirs.close()
            raise
        near.other, board.other = board, near
        assert near.transport is not None
        near.transport.resume_reading()
        transport.resume_reading()
        return cls(board, theirs, theirs)

    def handed_over(self) -> None:
        """The other process has its own descriptor: the one here would hide its end."""
        if self._inner is not None:
            self._inner.close()

    async def close(self) -> None:
        """Close the port; it is free on return."""
        self.handed_over()
        for side in (self._board.other, self._board):
            if side is not None and side.transport is not None:
                side.transport.abort()
                # Shielded: who is cancelled here leaves the closing to go on.
                await asyncio.shield(side.over)
