"""One open connection, whatever is said on it: reading paused and resumed, its end, and whose loop it belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.session import forking
from belay_py.session.outcomes import LinkLost

if TYPE_CHECKING:
    from belay_py.session.statistics import Counters
    from belay_py.transports.base import Transport

# A transport tells its end within milliseconds; closing a real port drains it for a tenth of a second at most.
LONGEST_CLOSE = 5.0


class Wire(asyncio.Protocol):
    """The host's end of a connection, of which ``counters`` count the bytes. Made in the loop that it belongs to."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._end_reason: Exception | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio names its own base
        self._transport = transport
        forking.watch(self, self._loop)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_reason = exc
        self._closed.set_result(None)

    @property
    def _ended(self) -> bool:
        return self._closed.done()

    def time(self) -> float:
        """The clock of the loop that it belongs to, in seconds."""
        return self._loop.time()

    @property
    def is_of_this_loop(self) -> bool:
        """Whether the running event loop is the one that it was opened in."""
        return self._loop is asyncio.get_running_loop()

    @property
    def is_orphan(self) -> bool:
        """Whether the event loop that it was opened in is closed."""
        return self._loop.is_closed()

    @property
    def bytes_received(self) -> int:
        """Bytes that have come from the board, over all connections that share the counters."""
        return self._counters.bytes_received

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the system has not taken yet."""
        return 0 if self._transport is None or self._ended else self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Take no more from the board until `resume_reading`."""
        if self._transport is not None and not self._ended:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the board again."""
        if self._transport is not None and not self._ended:
            self._transport.resume_reading()

    def let_go(self) -> Transport | None:
        """In a forked child: the connection is the parent's, and nothing is sent from here; return what it was."""
        transport, self._transport = self._transport, None
        if not self._closed.done():
            self._closed.set_result(None)
        return transport

    async def closed(self) -> None:
        """Wait until the transport has ended, after `close`; for a bounded time, and not for one of another loop."""
        if self._transport is not None and self.is_of_this_loop:
            await asyncio.wait([self._closed], timeout=LONGEST_CLOSE)

    def _link_lost(self) -> LinkLost:
        error = LinkLost()
        error.__cause__ = self._end_reason
        return error
