"""pyserial-asyncio's transport, reading and writing the descriptor directly.

Its own way takes 1.8 times as long for an echo (90 µs against 51, floor 31, tests/benchmarks/bench_transport.py):
reads go through ``select``, and every write waits for the next turn of the loop. And its close blocks in tcdrain while
bytes are stuck, loses ``connection_lost`` on some errors (pyserial-asyncio #12), and logs a traceback for a port that
has gone.

What is kept is its constructor, the flow control of the receiver, and its place in programs that know it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import serial_asyncio

from belay_py.errors import ConnectionFailed, Disconnected
from belay_py.transports.lines import set_lines
from belay_py.transports.offload import start_thread

if TYPE_CHECKING:
    import asyncio

    from belay_py.transports.base import Receiver
    from belay_py.transports.serial_device import SerialDevice

# Linux's line discipline hands out 4095 bytes at most (N_TTY_BUF_SIZE), and a larger buffer costs on every read.
_READ_SIZE = 4096
_NOT_NOW = (BlockingIOError, InterruptedError)


class DirectSerialTransport(serial_asyncio.SerialTransport):  # type: ignore[misc]  # pyserial-asyncio has no types
    """A `Transport` over an open `SerialDevice`, which it owns from now on."""

    _loop: asyncio.AbstractEventLoop
    _closing: bool
    _has_reader: bool
    _has_writer: bool

    def __init__(self, loop: asyncio.AbstractEventLoop, receiver: Receiver, device: SerialDevice) -> None:
        self._fd = device.fileno()
        self._device = device
        self._receiver = receiver
        self._deliver = receiver.data_received
        self._paused = False
        self._over = False
        super().__init__(loop, receiver, device)
        self._write_buffer = bytearray()  # the inherited list has to be summed up for its size

    # ---- reading ----------------------------------------------------------------------------------------------

    def _read_ready(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except _NOT_NOW:
            return
        except OSError as exc:
            self._lose(exc)
            return
        if data:
            self._deliver(data)
        else:  # a terminal that was hung up is always readable and has nothing
            self._lose(None)

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`. An unplugging is then noticed by writing, or after resuming."""
        self._paused = True
        self._remove_reader()

    def resume_reading(self) -> None:
        """Deliver again."""
        self._paused = False
        self._ensure_reader()

    def _ensure_reader(self) -> None:
        # The constructor schedules this; the receiver may have paused before it runs.
        if self._has_reader or self._paused or self._closing:
            return
        try:
            self._loop.add_reader(self._fd, self._read_ready)
        except (OSError, ValueError) as exc:
            self._lose(exc)
        else:
            self._has_reader = True

    def _remove_reader(self) -> None:
        if self._has_reader:
            self._has_reader = False
            with contextlib.suppress(OSError, ValueError):  # the descriptor was closed behind our back
                self._loop.remove_reader(self._fd)

    # ---- writing ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send at once what the driver takes, buffer the rest. After the end it does nothing."""
        if self._closing or not data:
            return
        buffer = self._write_buffer
        if not buffer:
            try:
                sent = os.write(self._fd, data)
            except _NOT_NOW:
                sent = 0
            except OSError as exc:
                self._lose(exc)
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._ensure_writer()
        buffer += data
        self._maybe_pause_protocol()

    def get_write_buffer_size(self) -> int:
        """How many bytes the driver has not taken yet."""
        return len(self._write_buffer)

    def _write_ready(self) -> None:
        buffer = self._write_buffer
        try:
            del buffer[: os.write(self._fd, buffer)]
        except _NOT_NOW:
            return
        except OSError as exc:
            self._lose(exc)
            return
        if not buffer:
            self._remove_writer()
        self._maybe_resume_protocol()  # may write more
        if self._closing and not buffer:
            self._end(None)

    def _ensure_writer(self) -> None:
        if self._has_writer or self._over:
            return
        try:
            self._loop.add_writer(self._fd, self._write_ready)
        except (OSError, ValueError) as exc:
            self._lose(exc)
        else:
            self._has_writer = True

    def _remove_writer(self) -> None:
        if self._has_writer:
            self._has_writer = False
            with contextlib.suppress(OSError, ValueError):  # the descriptor was closed behind our back
                self._loop.remove_writer(self._fd)

    # ---- lines ------------------------------------------------------------------------------------------------

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set DTR and RTS in one step. On USB this is one control transfer, usually under a millisecond.

        Raises `Disconnected` when the port is gone, `ConnectionFailed` when it has no lines (pseudo-terminals).
        """
        if self._closing:
            raise Disconnected(f"{self._device.port} is closed: connect again, then set its lines")
        try:
            known = set_lines(self._fd, dtr=dtr, rts=rts)
        except OSError as exc:
            self._lose(exc)
            raise Disconnected(f"{self._device.port} is gone: plug it in again and reconnect") from exc
        if not known:
            raise ConnectionFailed(f"{self._device.port} has no DTR and RTS: reset this board another way")

    # ---- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Read no more, and end once everything written has gone; `abort` where that may take for ever."""
        if self._closing:
            return
        self._closing = True
        self._remove_reader()
        if not self._write_buffer:
            self._end(None)

    def abort(self) -> None:
        """End now. Bytes that the driver has not taken are dropped."""
        self._end(None)

    def _lose(self, exc: Exception | None) -> None:
        why = f" ({getattr(exc, 'strerror', None) or exc})" if exc else ""
        lost = Disconnected(f"{self._device.port} is gone{why}: plug it in again and reconnect")
        lost.__cause__ = exc
        self._end(lost)

    def _end(self, exc: Exception | None) -> None:
        """The one door out."""
        if self._over:
            return
        self._over = self._closing = True
        self._remove_reader()
        self._remove_writer()
        stuck = bool(self._write_buffer)
        self._write_buffer.clear()
        # Not from here: the caller may be the receiver, in the middle of something.
        self._loop.call_soon(self._release, exc, stuck)

    def _release(self, exc: Exception | None, stuck: bool) -> None:
        """Close, then tell: a receiver that connects again at once finds the port free.

        Closing a real port waits in the kernel for its output (up to 30 s, closing_wait) and, on USB, for control
        transfers, so that happens in a thread. A pseudo-terminal waits for nothing.
        """
        loop = self._loop
        if not self._device.has_lines:
            self._device.close()
            self._report(exc)
            return

        def run() -> None:
            self._device.drain_briefly(discard=stuck or exc is not None)
            self._device.close()
            with contextlib.suppress(RuntimeError):  # the loop is closed, nobody waits
                loop.call_soon_threadsafe(self._report, exc)

        try:
            start_thread(run, name=f"belay closing {self._device.port}")
        except ConnectionFailed:
            run()

    def _report(self, exc: Exception | None) -> None:
        receiver = self._receiver
        # The receiver usually knows its transport: let go, so that neither waits for the collector.
        del self._receiver, self._deliver
        self._protocol = None
        receiver.connection_lost(exc)
