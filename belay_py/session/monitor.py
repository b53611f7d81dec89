"""Following what a board's own program prints, without stopping it: the port is opened, and nothing is ever sent.

Connecting is another thing: it interrupts whatever runs. So this is for sessions that are not connected.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal, overload

from belay_py.errors import ConnectionFailed, Disconnected, IllegalTransition, SessionTimeout
from belay_py.lifecycle import DeviceSessionState
from belay_py.session.connection import open_port
from belay_py.session.finding import find_place
from belay_py.session.streaming import OutputQueue, check_mode, decoded
from belay_py.session.wire import LONGEST_CLOSE
from belay_py.transports.base import close_orphan

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from belay_py.session.standing import Standing
    from belay_py.session.streaming import TextMode
    from belay_py.transports.base import Transport

_State = DeviceSessionState


class Monitoring:
    """What `DeviceSession.monitor` does: one at a time, since it holds the session's turn."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._listener: _Listener | None = None
        self._opening: asyncio.Task[None] | None = None

    async def follow(self, timeout: float) -> AsyncGenerator[bytes]:
        """Open the port and yield what comes. See `DeviceSession.monitor` for the errors."""
        standing = self._standing
        limit = standing.deadline(timeout)
        self._require_no_connection()
        await standing.turn.wait(limit)
        listener = _Listener()
        try:
            if standing.channel is not None:
                await standing.channel.closed()  # a session in ERROR may still hold the port
            self._require_no_connection()
            self._listener = listener
            await self._open(listener, limit)
            while True:
                try:
                    async with asyncio.timeout_at(limit):
                        data = await listener.queue.get()
                except TimeoutError:
                    raise SessionTimeout(
                        f"{standing.options.port} was monitored for {timeout:g} s, as was asked; the board runs on"
                    ) from None
                if data is None:
                    raise listener.reason()
                yield data
        finally:
            try:
                await listener.close()
            finally:
                self._listener = None
                standing.turn.release()

    async def end(self) -> None:
        """End the monitor that runs, if one does, and wait until the port is free; its consumer gets `Disconnected`."""
        opening, listener = self._opening, self._listener
        if opening is not None and opening.get_loop() is asyncio.get_running_loop():
            opening.cancel()  # in vain when it has just succeeded, and its consumer was not told yet
            await asyncio.wait([opening], timeout=LONGEST_CLOSE)
        if listener is not None:
            await listener.close()

    async def _open(self, listener: _Listener, limit: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = min(limit, self._standing.deadline(self._standing.options.connection_timeout))
        # In a task of its own, which `end` can cancel without cancelling the consumer.
        self._opening = opening = loop.create_task(self._open_port(listener, deadline))
        try:
            await opening
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and me.cancelling():
                raise
            raise listener.reason() from None
        except ConnectionFailed as error:
            if loop.time() >= limit:
                raise SessionTimeout(
                    f"{self._standing.options.port} could not be opened before the deadline"
                ) from error
            raise
        finally:
            self._opening = None

    async def _open_port(self, listener: _Listener, deadline: float) -> None:
        place = await find_place(self._standing.whereabouts, deadline)
        standing = self._standing
        options = dataclasses.replace(standing.options, port=place.port)
        await open_port(options, listener, deadline, standing.counters.about)

    def _require_no_connection(self) -> None:
        state = self._standing.lifecycle.state
        if state in (_State.DISPOSED, _State.DISCONNECTING):
            raise self._standing.unusable()
        if state not in (_State.CREATED, _State.DISCONNECTED, _State.ERROR):
            raise IllegalTransition(
                f"cannot monitor a session that is {state.name}: connecting has stopped the board's program. "
                "disconnect() it, reset the board so that main.py runs again, then monitor it"
            )


class Monitored:
    """What a session can do without being connected."""

    _monitoring: Monitoring

    @overload
    def monitor(self, *, timeout: float = math.inf, mode: TextMode = "text") -> AsyncGenerator[str]: ...

    @overload
    def monitor(self, *, timeout: float = math.inf, mode: Literal["bytes"]) -> AsyncGenerator[bytes]: ...

    def monitor(
        self, *, timeout: float = math.inf, mode: TextMode | Literal["bytes"] = "text"
    ) -> AsyncGenerator[str] | AsyncGenerator[bytes]:
        """Yield what the board's own program prints, without stopping it: the port is opened and nothing is sent.

        The session must not be connected, and stays so. Ends with the link (`Disconnected`), after ``timeout`` seconds
        (`SessionTimeout`), or when the consumer leaves. Raises what opening raises, `IllegalTransition`, and
        `SettingsError` for a mode that is none.
        """
        check_mode(mode)
        chunks = self._monitoring.follow(timeout)
        return chunks if mode == "bytes" else decoded(chunks, mode)


class _Listener(asyncio.Protocol):
    """Receives, and never sends."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Transport | None = None
        self._ended: asyncio.Future[Any] = self._loop.create_future()
        self.queue = OutputQueue(pause=self._pause, resume=self._resume)
        self._ended.add_done_callback(self.queue.end)
        self._lost: Exception | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio names its own base
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.queue.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc
        self._ended.set_result(None)

    def reason(self) -> Disconnected:
        """Why nothing more comes."""
        if self._lost is None:
            return Disconnected("this program disconnected the session while it was monitored")
        error = Disconnected(str(self._lost))
        error.__cause__ = self._lost.__cause__
        return error

    async def close(self) -> None:
        """Close the port and wait until it is closed."""
        if self._transport is None:
            return
        if self._loop is not asyncio.get_running_loop():
            close_orphan(self._transport)
            return
        self._transport.abort()
        await asyncio.wait([self._ended], timeout=LONGEST_CLOSE)

    def _pause(self) -> None:
        if self._transport is not None and not self._ended.done():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._ended.done():
            self._transport.resume_reading()
