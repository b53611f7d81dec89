"""What a transport is: an open byte stream to a board, in asyncio's own callback shape.

A transport calls its receiver's ``data_received`` and, exactly once, ``connection_lost``. asyncio's socket transports
fit as they are; a serial port gets one of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable


class Receiver(Protocol):
    """What receives a transport's bytes. ``asyncio.Protocol`` subclasses fit."""

    def connection_made(self, transport: Transport) -> None:
        """The transport is open; called once, before anything else, and before `open_transport` returns."""

    def data_received(self, data: bytes) -> None:
        """Bytes came, in order; called with at least one byte."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is over; called once, and nothing is called after it.

        ``exc`` is None when this side asked for the end, otherwise a `belay_py.errors.Disconnected` that names the
        port, with the system's error as its ``__cause__`` where there was one.
        """

    def pause_writing(self) -> None:
        """More is buffered than the link takes at present."""

    def resume_writing(self) -> None:
        """The buffer has drained."""

    def eof_received(self) -> bool | None:
        """The other end sends no more; a false answer closes the transport."""


class Transport(Protocol):
    """An open byte stream."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order, without blocking; what the link does not take at once is buffered."""

    def abort(self) -> None:
        """Close at once; buffered bytes are dropped. Safe at any time, any number of times; never raises."""

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""

    def get_write_buffer_size(self) -> int:
        """How many bytes were written and have not been handed to the system yet."""

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`: back-pressure."""

    def resume_reading(self) -> None:
        """Deliver again."""


@runtime_checkable
class SupportsLines(Protocol):
    """A transport with modem control lines, which many boards wire to reset and boot mode."""

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set either line; None leaves one as it is."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """How to open a port. Transports ignore what they have no use for.

    ``baudrate`` is in bits per second. ``dtr`` and ``rts`` None means: as the board's profile says, which is told from
    its USB numbers unless ``profile`` names one (see `belay_py.devices.profiles`).
    """

    baudrate: int = 115200
    exclusive: bool = True
    dtr: bool | None = None
    rts: bool | None = None
    profile: str | None = None


Opener: TypeAlias = Callable[[str, Receiver, LinkOptions], Awaitable[Transport]]
"""Opens one kind of port: the whole port string, who receives, how to open it."""


def close_orphan(transport: Transport, last_words: bytes = b"") -> None:
    """Give back the port of a transport whose event loop is closed, which cannot close itself any more. Never raises.

    ``last_words`` are sent before, where that takes no waiting.
    Known are serial ports (``serial``, in this package and in pyserial-asyncio) and asyncio's sockets, whose protocol
    holds the lock; those with threads of their own need no loop for their end. Each may be traced.
    """
    transport = getattr(transport, "traced", transport)
    known = False
    for name in ("serial", "_sock"):
        device = getattr(transport, name, None)
        if device is not None:
            known = True
            with contextlib.suppress(OSError, RuntimeError):
                os.write(device.fileno(), last_words)
                if getattr(device, "has_lines", False):  # flushing a pseudo-terminal would take the words back
                    device.drain_briefly(discard=False)
            with contextlib.suppress(OSError, RuntimeError):
                device.close()
    if hasattr(transport, "_sock"):
        transport._sock = None  # noqa: SLF001  asyncio takes it for the sign that nothing was left open
    lock = getattr(getattr(transport, "_protocol", None), "lock", None)
    if lock is not None:
        lock.release()
    if not known:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            transport.abort()
