"""Exchanges over one connection, one at a time, with one timer for all their deadlines.

What is asked in them is `session.channel`'s affair.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from belay_py.errors import ProtocolViolation
from belay_py.protocol import RESPONDING, Event, Output, RawRepl, ReplState
from belay_py.session.outcomes import Expired
from belay_py.session.wire import Wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from belay_py.session.statistics import Counters
    from belay_py.session.tap import Tap

_log = logging.getLogger(__name__)


class Exchanges(Wire):
    """What goes between `RawRepl` and the transport. ``pace`` is how many seconds pass between two chunks of code."""

    def __init__(self, repl: RawRepl, pace: float, counters: Counters) -> None:
        super().__init__(counters)
        self.repl = repl
        self.on_started: Callable[[], None] | None = None
        """Called, once, when the next code has been taken and runs."""
        self.tap: Tap | None = None
        """What takes the board's messages out of what comes, where somebody wants them."""
        self._pace = pace
        self._stray = 0
        self._sink: Callable[[bytes], None] | None = None
        self._waiter: asyncio.Future[Event] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._pacer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        repl = self.repl
        self._counters.bytes_received += len(data)
        if self.tap is not None:
            data = self.tap.feed(data)
        try:
            repl.receive_data(data)
        except ProtocolViolation as violation:
            self.fail(violation)
        if repl.stray != self._stray:
            _log.debug(
                "the board sent %d bytes that nobody asked for; they were dropped",
                repl.stray - self._stray,
                extra=self._counters.about,
            )
            self._stray = repl.stray
        if self.on_started is not None and repl.state is ReplState.OUTPUT:
            started, self.on_started = self.on_started, None
            started()
        while (event := repl.next_event()) is not None:
            if isinstance(event, Output):
                if self._sink is not None:
                    self._sink(event.data)
            elif self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(event)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timers()
        if self.tap is not None:
            self.tap.flush()  # half a message: it is told that it did not come
        self.fail(self._link_lost())

    @property
    def exchange(self) -> asyncio.Future[Event] | None:
        """What somebody waits for, if code is to run or runs: it is done when the exchange is over."""
        runs = self.repl.state in RESPONDING and self._waiter is not None and not self._waiter.done()
        return self._waiter if runs else None

    def fail(self, error: Exception) -> None:
        """End the exchange that runs, if any, with an error."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    async def _exchange(self, deadline: float) -> Event:
        """Send what is queued and wait for the event that ends the exchange."""
        if self._ended:
            raise self._link_lost()
        loop = self._loop
        waiter: asyncio.Future[Event] = loop.create_future()
        self._waiter = waiter
        self._deadline = deadline
        timer = self._timer
        if timer is None or timer.when() > deadline:
            if timer is not None:
                timer.cancel()
            self._timer = loop.call_at(deadline, self._on_timer)
        self._flush()
        try:
            return await waiter
        finally:
            self._waiter = None

    def _on_timer(self) -> None:
        # One timer serves every exchange: it is armed for the earliest deadline and moves on when that was met.
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._deadline:
            self.fail(Expired())
        else:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _flush(self) -> None:
        data = self.repl.data_to_send()
        if data and self._transport is not None and not self._ended:
            self._counters.bytes_sent += len(data)
            self._transport.write(data)
        if self._pacer is None and self.repl.waits_for_time:
            self._pacer = self._loop.call_later(self._pace, self._on_pacer)

    def _on_pacer(self) -> None:
        self._pacer = None
        self.repl.release_chunk()
        self._flush()

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._pacer):
            if timer is not None:
                timer.cancel()
        self._timer = self._pacer = None
