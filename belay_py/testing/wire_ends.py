"""The ends of a wire in its own process: descriptors and sockets that never block, and what makes a port of them."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from contextlib import ExitStack
from typing import Protocol

from belay_py.errors import NotSupported, SettingsError
from belay_py.testing.links import linked

_CHUNK = 4096
_NOT_NOW = (BlockingIOError, InterruptedError)


class Gone(Exception):
    """The other side has closed."""


class End(Protocol):
    """One side. `read` gives nothing and `write` 0 when that would block; both raise `Gone`."""

    def fileno(self) -> int: ...
    def read(self, most: int) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class HostEnd(End, Protocol):
    """The side that clients open."""

    port: str

    def someone_is_there(self) -> bool:
        """Whether a client has it open."""

    def listens_on(self) -> int | None:
        """What becomes readable when a client comes, and `attend` is to be called; None if nothing does."""

    def attend(self) -> None:
        """Let a client come."""

    def is_read(self) -> bool:
        """Whether clients have what was written, so that closing takes nothing from them."""


class DescriptorEnd:
    """A terminal, or what else is read and written by its number."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def read(self, most: int) -> bytes:
        try:
            data = os.read(self._fd, min(most, _CHUNK))
        except _NOT_NOW:
            return b""
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        return data

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)


class SocketEnd:
    """A connected socket."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        with contextlib.suppress(OSError):  # it is no TCP socket
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def read(self, most: int) -> bytes:
        try:
            data = self._end.recv(min(most, _CHUNK))
        except _NOT_NOW:
            return b""
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        return data

    def write(self, data: bytes) -> int:
        try:
            return self._end.send(data)
        except _NOT_NOW:
            return 0
        except OSError as error:
            raise Gone from error

    def close(self) -> None:
        """End it so that the other side gets what was sent: unread bytes would turn the end into a reset."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
            while self._end.recv(_CHUNK):
                pass
        self._end.close()


class TerminalEnd(DescriptorEnd):
    """A pseudo-terminal's master. Nobody here holds the slave: so the master tells whether a client does."""

    def __init__(self, link: str | None) -> None:
        if not hasattr(os, "openpty"):
            raise NotSupported('there are no pseudo-terminals on this system; use kind="socket" or kind="memory"')
        import tty  # noqa: PLC0415  Windows has none

        with ExitStack() as undo:
            try:
                master, slave = os.openpty()
            except OSError as error:
                raise SettingsError(f"there is no free pseudo-terminal ({error.strerror}); close some wires") from error
            undo.callback(os.close, master)
            # Kept by the pair for as long as the master is open. A client that sets nothing gets bytes as they are.
            tty.setraw(slave)
            self._slave = os.ttyname(slave)
            os.close(slave)
            if link is not None:
                undo.enter_context(linked(link, self._slave))
            self.port = link or self._slave
            self._bell: select.epoll | None = None
            if sys.platform == "linux":
                self._bell = undo.enter_context(select.epoll())
                self._bell.register(master, select.EPOLLIN | select.EPOLLET)
            super().__init__(master)
            self._undo = undo.pop_all()

    def someone_is_there(self) -> bool:
        """Whether a client has it open."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    def listens_on(self) -> int | None:
        """A bell that a client's first byte rings; the master itself is always readable while nobody is there."""
        return None if self._bell is None else self._bell.fileno()

    def attend(self) -> None:
        """Silence the bell."""
        if self._bell is not None:
            self._bell.poll(0)

    def is_read(self) -> bool:
        """Whether clients have read all that was written, which hanging up would take from them.

        Polling the slave looks into the line discipline after the kernel's own queue was moved there (Linux,
        drivers/tty/n_tty.c, n_tty_poll).
        """
        if not self.someone_is_there():
            return True
        try:
            slave = os.open(self._slave, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:  # held exclusively: then nobody can tell, and waiting would be for nothing
            return True
        try:
            poll = select.poll()
            poll.register(slave, select.POLLIN)
            return not poll.poll(0)
        finally:
            os.close(slave)

    def close(self) -> None:
        # The bell first, the link next: who sees the end finds no name any more.
        self._undo.close()


class ServerEnd:
    """A listening TCP socket and its one client."""

    def __init__(self, host: str, number: int) -> None:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._server = socket.create_server((host, number), family=family)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"cannot listen on {host}:{number} ({reason}); choose another port, or 0 for any that is free"
            ) from error
        self._server.setblocking(False)
        self._client: SocketEnd | None = None
        self.number: int = self._server.getsockname()[1]
        self.port = f"socket://[{host}]:{self.number}" if ":" in host else f"socket://{host}:{self.number}"

    def listens_on(self) -> int | None:
        """The listening socket."""
        return self._server.fileno()

    def attend(self) -> None:
        """Let a client in if there is none; a serial port has one user, so refuse it else."""
        with contextlib.suppress(*_NOT_NOW, ConnectionError):
            client, _ = self._server.accept()
            if self._client is None:
                self._client = SocketEnd(client)
            else:
                client.close()

    def someone_is_there(self) -> bool:
        """Whether a client is connected."""
        return self._client is not None

    def is_read(self) -> bool:
        """The system delivers what was sent before the end."""
        return True

    def fileno(self) -> int:
        return self._client.fileno() if self._client is not None else self._server.fileno()

    def read(self, most: int) -> bytes:
        if self._client is None:
            return b""
        try:
            return self._client.read(most)
        except Gone:
            self._leave()
            raise

    def write(self, data: bytes) -> int:
        if self._client is None:
            raise Gone
        try:
            return self._client.write(data)
        except Gone:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        self._server.close()
        self._leave()
