"""Every byte of a link, with its time and direction, in a file: written here, read again by `read_trace`.

A trace is JSON lines. Each has ``t``, seconds since the opening of its link began (a clock that is never set), and
``link``, a word that all lines of one opening share, so that reconnections and several sessions may write to one file.
Bytes are text whose characters are the bytes' values (latin-1):

- ``{"t": 0.000412, "link": "5f0c21d89b3e7a46", "from": "host", "data": "\\r\\u0003"}``, and the same from ``board``;
- ``{"t": 0.0, "link": "5f0c21d89b3e7a46", "event": "opened", ...}`` with ``port``, ``at`` (date and time in UTC) and
  what the port was opened with; ``lines`` with ``dtr`` and ``rts``; at the end ``closed``, or ``lost`` or ``failed``
  with ``reason``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from belay_py.errors import SettingsError
from belay_py.transports.base import SupportsLines
from belay_py.transports.traces import Piece, TracedLink, read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.transports.base import LinkOptions, Opener, Receiver, Transport

__all__ = ["Piece", "TracedLink", "TracedTransport", "open_traced", "read_trace"]

_log = logging.getLogger(__name__)

# It can hold whatever was sent to a board, such as the password of a network.
_MODE = 0o600
# Without blocking, so that a FIFO that nobody reads is an error and not a wait without end.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


async def open_traced(
    opener: Opener,
    port: str,
    receiver: Receiver,
    options: LinkOptions,
    path: str,
    *,
    about: Mapping[str, object] | None = None,
) -> Transport:
    """Open ``port`` with ``opener`` and write what goes over it to ``path``, after what is there already.

    Returns the transport that ``receiver`` meets, which writes the trace too. Raises `SettingsError` for a file that
    cannot be written, and what ``opener`` raises. A disk that fills up later ends the trace and not the link; the log
    says so, in a record that carries ``about``.
    """
    trace = _Trace(path, about)
    trace.event(
        "opened",
        port=port,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        baudrate=options.baudrate,
        dtr=options.dtr,
        rts=options.rts,
    )
    traced = _TracedReceiver(receiver, trace)
    try:
        await opener(port, traced, options)
    except asyncio.CancelledError:
        trace.end("failed", reason="opening was cancelled or took too long")
        raise
    except Exception as error:
        trace.end("failed", reason=str(error))
        raise
    finally:
        transport, traced.transport = traced.transport, None  # which would be a circle
    assert transport is not None  # an opener's promise, kept even when the link is lost already
    return transport


class _Trace:
    """The open file of one link. Each line is handed to the system at once: a killed process loses none."""

    def __init__(self, path: str, about: Mapping[str, object] | None) -> None:
        self._path = path
        self._about = about
        self._link = secrets.token_hex(8)
        self._start = time.perf_counter()
        try:
            self._fd = os.open(path, _FLAGS, _MODE)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(
                f"cannot write the trace to {path} ({reason}); name a file in a folder that can be written"
            ) from error
        self._prefix = b"" if self._ends_with_a_line() else b"\n"

    def _ends_with_a_line(self) -> bool:
        """Whether the next line begins at a line's beginning: not so after a full disk."""
        try:
            with Path(self._path).open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) == b"\n"
        except OSError:  # empty, or no regular file
            return True

    def data(self, sender: Literal["host", "board"], data: bytes) -> None:
        self._write({"from": sender, "data": bytes(data).decode("latin-1")})

    def event(self, name: str, **facts: object) -> None:
        self._write({"event": name, **facts})

    def end(self, name: str, **facts: object) -> None:
        """Write the last line, once."""
        if self._fd >= 0:
            self.event(name, **facts)
            self._close()

    def _write(self, facts: dict[str, object]) -> None:
        if self._fd < 0:
            return
        entry = {"t": round(time.perf_counter() - self._start, 6), "link": self._link, **facts}
        line = self._prefix + json.dumps(entry).encode() + b"\n"
        self._prefix = b""
        try:
            if os.write(self._fd, line) == len(line):
                return
            reason = "the disk is full"
        except OSError as error:
            reason = error.strerror or str(error)
        _log.warning("the trace in %s ends here (%s); the session goes on", self._path, reason, extra=self._about)
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            self._close()


class _TracedReceiver:
    """What the transport calls."""

    def __init__(self, receiver: Receiver, trace: _Trace) -> None:
        self.transport: TracedTransport | None = None
        self._receiver = receiver
        self._trace = trace
        self.pause_writing = receiver.pause_writing
        self.resume_writing = receiver.resume_writing
        self.eof_received = receiver.eof_received

    def connection_made(self, transport: Transport) -> None:
        kind = _TracedTransportWithLines if isinstance(transport, SupportsLines) else TracedTransport
        self.transport = kind(transport, self._trace)
        self._receiver.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        self._trace.data("board", data)
        self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._trace.end("closed")
        else:
            self._trace.end("lost", reason=str(exc))
        self._receiver.connection_lost(exc)


class TracedTransport:
    """A transport whose writes are traced; ``traced`` is the one beneath."""

    def __init__(self, transport: Transport, trace: _Trace) -> None:
        self.traced = transport
        self._trace = trace
        self.abort = transport.abort
        self.is_closing = transport.is_closing
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send, and trace it before: what a board answers at once must not stand above its question."""
        if data and not self.traced.is_closing():
            self._trace.data("host", data)
        self.traced.write(data)


class _TracedTransportWithLines(TracedTransport):
    traced: Any

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self.traced.set_lines(dtr=dtr, rts=rts)
        self._trace.event("lines", dtr=dtr, rts=rts)
