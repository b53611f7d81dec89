"""A transport from any blocking pyserial object: one thread reads, one writes.

It stands in where pyserial-asyncio cannot work: on Windows, for RFC 2217, which has no descriptor to wait for, for
pyserial's own URLs, and for the pipes of a process.
The loop's side never touches the port; the two meet in buffers under one lock that is held for moments only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import serial

from belay_py.devices.locks import PortLock
from belay_py.errors import ConnectionFailed, Disconnected
from belay_py.transports.blocking_port import apply_lines, quietly
from belay_py.transports.offload import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.transports.base import Receiver, Transport
    from belay_py.transports.blocking_port import BlockingPort

_HIGH_WATER = 64 * 1024
_LOW_WATER = _HIGH_WATER // 4
_CHUNK = 4096
_JOIN_S = 2.0
_DRAIN_S = 0.1
_DRAIN_STEP_S = 0.005
# How long a read may block where it cannot be cancelled; loss is noticed by then at the latest.
READ_S = 0.2

_log = logging.getLogger(__name__)

_Lines = tuple[bool | None, bool | None]
_Hold = tuple[float, asyncio.Future[None]]
"""Seconds for which nothing is sent, and what is told then."""


class ThreadedTransport:
    """A `Transport` over an open pyserial object, which it owns from now on. Make it with `start`."""

    def __init__(self, port: str, receiver: Receiver, device: BlockingPort, lock: PortLock) -> None:
        self._port = port
        self._lock = lock
        self._receiver = receiver
        self._device = device
        self._loop = asyncio.get_running_loop()
        self._turn = threading.Condition()
        # All below is shared with the threads and touched under _turn only.
        self._inbox = bytearray()
        self._delivery_due = False
        self._reading = True
        self._outbox: deque[bytes | _Lines | _Hold] = deque()
        self._holds: set[asyncio.Future[None]] = set()  # touched on the loop only
        self._buffered = 0
        self._writing_paused = False
        self._closing = False
        self._writing = False
        self._threads: list[threading.Thread] = []

    @classmethod
    async def start(
        cls, port: str, receiver: Receiver, device: BlockingPort, lock: PortLock | None = None
    ) -> Transport:
        """The transport of an open port, which releases its lock. ``connection_made`` has been called on return."""
        if device.timeout != READ_S:  # setting it negotiates with an RFC 2217 server, which blocks
            device.timeout = READ_S
        self = cls(port, receiver, device, lock or PortLock())
        receiver.connection_made(self)
        try:
            for run in (self._read, self._write):
                self._threads.append(start_thread(run, name=f"belay {run.__name__.strip('_')}ing {port}"))
        except ConnectionFailed:
            self.abort()
            raise
        return self

    # ---- what the receiver calls, on the loop -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue bytes for the writer thread. After the end it does nothing."""
        with self._turn:
            if self._closing or not data:
                return
            # In pieces, so that closing has to wait for one piece only.
            self._outbox.extend(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
            self._buffered += len(data)
            pause = self._buffered > _HIGH_WATER and not self._writing_paused
            self._writing_paused = self._writing_paused or pause
            self._turn.notify_all()
        if pause:
            self._receiver.pause_writing()

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set DTR and RTS, in order with what was written before; over a network this takes a round trip each.

        Raises `Disconnected` when the port is closed.
        """
        with self._turn:
            if self._closing:
                raise Disconnected(f"{self._port} is closed: connect again, then set its lines")
            self._outbox.append((dtr, rts))
            self._turn.notify_all()

    def hold_lines(self, seconds: float) -> asyncio.Future[None]:
        """Send nothing for ``seconds`` after what was asked for before has been done; the future is done then.

        The writer's thread measures, since it may be behind: a pulse timed by the loop could shrink to nothing. When
        the port is closed meanwhile, the wait ends at once, and the future raises `Disconnected`.
        """
        held: asyncio.Future[None] = self._loop.create_future()
        with self._turn:
            if self._closing:
                raise Disconnected(f"{self._port} is closed: connect again, then set its lines")
            self._outbox.append((seconds, held))
            self._turn.notify_all()
        self._holds.add(held)
        return held

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`. Once 64 KiB wait, the port is not read either."""
        with self._turn:
            self._reading = False

    def resume_reading(self) -> None:
        """Deliver again."""
        with self._turn:
            self._reading = True
            due = self._plan_delivery()
        if due:
            self._loop.call_soon(self._deliver)

    def get_write_buffer_size(self) -> int:
        """How many bytes the port has not taken yet."""
        return self._buffered

    def get_extra_info(self, name: str) -> object:
        """As asyncio's transports: the ``socket`` beneath the port, where there is one. It serves options only."""
        return getattr(self._device, "_socket", None) if name == "socket" else None

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._closing

    def abort(self) -> None:
        """End now, bounded by the time that the port needs to let go; what has not left in 0.1 s is dropped."""
        self._end(None)

    # ---- the threads ------------------------------------------------------------------------------------------

    def _read(self) -> None:
        device = self._device
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._closing or len(self._inbox) < _HIGH_WATER)
                if self._closing:
                    return
            try:
                data = device.read(1)
                waiting = min(device.in_waiting, _CHUNK) if data else 0
                if waiting:
                    data += device.read(waiting)
            except Exception as exc:  # noqa: BLE001  pyserial lets TypeError and termios.error out of a closed port
                self._post(self._lose, exc)
                return
            with self._turn:
                self._inbox += data
                due = self._plan_delivery()
            if due:
                self._post(self._deliver)

    def _write(self) -> None:
        while True:
            with self._turn:
                self._writing = False
                self._turn.notify_all()
                self._turn.wait_for(lambda: self._closing or self._outbox)
                if not self._outbox:
                    return
                item = self._outbox.popleft()
                self._writing = True
            try:
                if isinstance(item, bytes):
                    self._device.write(item)
                elif isinstance(item[1], asyncio.Future):
                    self._hold(*item)
                else:
                    self._apply_lines(*item)
            except Exception as exc:  # noqa: BLE001  as in _read
                self._post(self._lose, exc)
                return
            if isinstance(item, bytes):
                with self._turn:
                    # Nothing is counted any more when the end came meanwhile.
                    self._buffered -= min(len(item), self._buffered)
                    drained = self._writing_paused and self._buffered <= _LOW_WATER
                if drained:
                    self._post(self._resume_writing)

    def _hold(self, seconds: float, held: asyncio.Future[None]) -> None:
        deadline = time.monotonic() + seconds
        with self._turn:
            # Cut short by the end, so that the lines that follow are still set: a chip is never left in reset.
            while not self._closing and (left := deadline - time.monotonic()) > 0:
                self._turn.wait(left)
        self._post(self._end_hold, held)

    def _apply_lines(self, dtr: bool | None, rts: bool | None) -> None:
        try:
            apply_lines(self._device, dtr, rts)
        except ValueError as exc:  # how pyserial reports that an RFC 2217 server refuses
            _log.warning("%s did not set its lines: %s", self._port, exc)

    def _post(self, call: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
            self._loop.call_soon_threadsafe(call, *args)

    # ---- on the loop, for the threads -------------------------------------------------------------------------

    def _plan_delivery(self) -> bool:
        """Whether `_deliver` has to be scheduled. Under the lock."""
        if self._delivery_due or not self._reading or not self._inbox:
            return False
        self._delivery_due = True
        return True

    def _deliver(self) -> None:
        with self._turn:
            self._delivery_due = False
            if self._closing or not self._reading:
                return
            data = bytes(self._inbox)
            self._inbox.clear()
            self._turn.notify_all()
        self._receiver.data_received(data)

    def _end_hold(self, held: asyncio.Future[None]) -> None:
        self._holds.discard(held)
        if not held.done():
            held.set_result(None)

    def _resume_writing(self) -> None:
        with self._turn:
            resume = self._writing_paused and self._buffered <= _LOW_WATER and not self._closing
            self._writing_paused = self._writing_paused and not resume
        if resume:
            self._receiver.resume_writing()

    # ---- the end ----------------------------------------------------------------------------------------------

    def _lose(self, exc: Exception) -> None:
        if not isinstance(exc, Disconnected):
            lost = Disconnected(f"{self._port} is gone ({' '.join(str(exc).split())}): plug it in again and reconnect")
            lost.__cause__ = exc
            exc = lost
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        """The one door out."""
        with self._turn:
            if self._closing:
                return
            self._closing = True
            if exc is not None:
                self._outbox.clear()
            self._buffered = 0
            self._inbox.clear()
            self._turn.notify_all()
        for held in self._holds:
            if not held.done():
                with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
                    held.set_exception(exc or Disconnected(f"{self._port} was closed: connect again"))
                    held.exception()  # whoever was cancelled does not ask
        self._holds.clear()
        try:
            start_thread(partial(self._close, exc), name=f"belay closing {self._port}")
        except ConnectionFailed:
            self._close(exc)

    def _close(self, exc: Exception | None) -> None:
        """Stop both threads, close the port, tell the receiver; bounded even when a driver hangs."""
        device = self._device
        drained = exc is None and self._drain()
        if sys.platform == "win32" and isinstance(device, serial.Serial):
            # Its drivers clear DTR before RTS when they close, and that pair resets ESP boards (micropython PR #18001).
            quietly(partial(setattr, device, "rts", False))
        if hasattr(device, "cancel_read"):
            # Closing a descriptor under a thread that waits on it would free its number for somebody else's file.
            for cancel in ("cancel_read", "cancel_write"):
                quietly(getattr(device, cancel))
            if not drained:
                quietly(getattr(device, "reset_output_buffer", lambda: None))
            self._join()
            quietly(device.close)
        else:
            quietly(device.close)  # shuts the socket down, which wakes both
            self._join()
        self._lock.release()
        self._post(self._receiver.connection_lost, exc)

    def _drain(self) -> bool:
        """Give what was written last (a Ctrl-C, a Ctrl-B) a tenth of a second to leave; whether it has."""
        deadline = time.monotonic() + _DRAIN_S
        with self._turn:
            sent = self._turn.wait_for(lambda: not self._outbox and not self._writing, _DRAIN_S)
            self._outbox.clear()
        with contextlib.suppress(Exception):  # as in _read: pyserial of a port that has gone
            while sent and getattr(self._device, "out_waiting", False):
                if time.monotonic() > deadline:
                    return False
                time.sleep(_DRAIN_STEP_S)
        return sent

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(_JOIN_S)
            if thread.is_alive():
                _log.warning("%s: the driver holds %s; its port may stay busy", self._port, thread.name)
