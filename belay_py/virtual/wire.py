"""One end of the cable: a socket, or a descriptor such as a pty's master."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 4096


class _End(Protocol):
    def fileno(self) -> int: ...
    def receive(self, most: int) -> bytes: ...
    def send(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class _Descriptor:
    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def receive(self, most: int) -> bytes:
        return os.read(self._fd, most)

    def send(self, data: bytes) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        os.close(self._fd)


class _Socket:
    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        # Without it a TCP wire holds short answers back for 40 ms.
        with contextlib.suppress(OSError):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def receive(self, most: int) -> bytes:
        return self._end.recv(most)

    def send(self, data: bytes) -> int:
        return self._end.send(data)

    def close(self) -> None:
        # The other end sees the cut even if this end was duplicated elsewhere.
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()


class Wire:
    """Blocking reads and writes that `cut` ends at once. Takes over `end`; `name` is what messages call it."""

    def __init__(self, end: socket.socket | int, name: str) -> None:
        self.name = name
        self._end: _End = _Descriptor(end) if isinstance(end, int) else _Socket(end)
        # Two bells: what ends both directions is never read away, what only wakes the writer is.
        self._wake, self._woken = socket.socketpair()
        self._nudge, self._nudged = socket.socketpair()
        self._nudge.setblocking(False)
        self._nudged.setblocking(False)
        self._cut = threading.Event()

    @property
    def is_cut(self) -> bool:
        """Whether `cut` was called or the other end is gone."""
        return self._cut.is_set()

    def read(self, most: int) -> bytes:
        """Wait for bytes; empty when the wire is cut or the other end is closed."""
        while not self._cut.is_set():
            try:
                return self._end.receive(min(most, _CHUNK))
            except (BlockingIOError, InterruptedError):
                self._wait(readable=True)
            except OSError:  # EIO of a pty nobody has open, ECONNRESET of a socket: the other end is gone
                return b""
        return b""

    def write(self, data: bytes, abandon: Callable[[], bool]) -> None:
        """Send all bytes, blocking while the other end does not read.

        What a cut leaves is lost, and so is the rest when `abandon` says so after a `nudge`.
        """
        left = memoryview(data)
        while left and not self._cut.is_set() and not abandon():
            try:
                left = left[self._end.send(left.tobytes()) :]
            except (BlockingIOError, InterruptedError):
                self._wait(readable=False)
            except OSError:  # EPIPE and the like; the reading thread sees the end too, and detaches the wire
                return

    def other_end_is_gone(self) -> bool:
        """Whether nobody can read or write at the other end any more, even if bytes are still to be read."""
        if not hasattr(select, "poll"):
            return False
        poll = select.poll()
        # What its reader has closed since somebody asked for its number is gone too.
        hung_up = select.POLLHUP | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)
        try:
            poll.register(self._end.fileno(), hung_up)
        except (OSError, ValueError):
            return True
        return any(event & hung_up for _, event in poll.poll(0))

    def _wait(self, *, readable: bool) -> None:
        with contextlib.suppress(OSError, ValueError):
            if readable:
                select.select([self._woken.fileno(), self._end.fileno()], [], [])
            else:
                select.select([self._woken.fileno(), self._nudged.fileno()], [self._end.fileno()], [])
                self._nudged.recv(_CHUNK)

    def nudge(self) -> None:
        """Make a `write` that waits ask again whether to go on."""
        with contextlib.suppress(OSError):
            self._nudge.send(b"\0")

    def cut(self) -> None:
        """End reads and writes that wait, and all later ones. From any thread."""
        self._cut.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def close(self) -> None:
        """Close the descriptors. Only the reading thread calls it, at its end, so that no call meets a reused one."""
        self._cut.set()
        for end in (self._end, self._wake, self._woken, self._nudge, self._nudged):
            with contextlib.suppress(OSError):
                end.close()
