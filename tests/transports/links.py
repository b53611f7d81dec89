"""Links for the conformance checks: pseudo-terminals, sockets, an RFC 2217 server, processes, memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
import sys
import tempfile
import threading
import tty
from functools import partial
from typing import TYPE_CHECKING

import serial
import serial.rfc2217

from belay_py.transports import LinkOptions, Receiver, Transport, open_transport
from belay_py.transports.blocking import open_threaded
from belay_py.transports.memory import MemoryBoard, memory_pair
from belay_py.transports.tracing import open_traced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.transports.conformance import Opener, Peer


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class FdPeer:
    """The far end of a pseudo-terminal or socket."""

    def __init__(self, fd: int | None) -> None:
        self.fd: int | None = None
        if fd is not None:
            self.plug(fd)

    def plug(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        assert self.fd is not None
        ready = asyncio.get_running_loop().create_future()
        add(self.fd, _wake, ready)
        try:
            await ready
        finally:
            remove(self.fd)

    async def send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data:
            assert self.fd is not None
            try:
                data = data[os.write(self.fd, data) :]
            except BlockingIOError:
                await self._ready(loop.add_writer, loop.remove_writer)

    async def receive(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < count:
            assert self.fd is not None
            try:
                piece = os.read(self.fd, count - len(data))
            except BlockingIOError:
                await self._ready(loop.add_reader, loop.remove_reader)
            else:
                assert piece
                data += piece
        return data

    def stall(self) -> None:
        """Nothing is read unless `receive` is."""

    async def unplug(self) -> None:
        self.close()

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


@contextlib.contextmanager
def pty() -> Iterator[tuple[FdPeer, str]]:
    master, slave = os.openpty()
    path = os.ttyname(slave)
    # Closed at once, as nobody but the transport may hold it; the master alone keeps the pair.
    tty.setraw(slave)
    os.close(slave)
    peer = FdPeer(master)
    try:
        yield peer, path
    finally:
        peer.close()


def url_opener(port: str, options: LinkOptions = LinkOptions()) -> Opener:  # noqa: B008  it is frozen
    async def opener(receiver: Receiver) -> Transport:
        return await open_transport(port, receiver, options)

    return opener


@contextlib.asynccontextmanager
async def pty_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with pty() as (peer, path):
        yield url_opener(path), peer


@contextlib.asynccontextmanager
async def threaded_pty_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with pty() as (peer, path):

        async def opener(receiver: Receiver) -> Transport:
            return await open_threaded(path, receiver, LinkOptions())

        yield opener, peer


@contextlib.asynccontextmanager
async def socket_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = FdPeer(None)

        async def opener(receiver: Receiver) -> Transport:
            transport = await open_transport(f"socket://127.0.0.1:{server.getsockname()[1]}", receiver, LinkOptions())
            connection, _ = server.accept()  # it waits in the backlog
            peer.plug(connection.detach())
            return transport

        try:
            yield opener, peer
        finally:
            peer.close()


# Passes bytes between its standard streams and a socket, until either ends, whatever it is asked meanwhile.
_RELAY = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def to_peer():
    try:
        while data := os.read(0, 4096):
            peer.sendall(data)
    finally:
        os._exit(0)
threading.Thread(target=to_peer, daemon=True).start()
while data := peer.recv(4096):
    while data:
        data = data[os.write(1, data):]
os._exit(0)
"""


@contextlib.asynccontextmanager
async def process_link(scheme: str) -> AsyncIterator[tuple[Opener, Peer]]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        command = shlex.join([sys.executable, "-S", "-E", "-c", _RELAY, str(server.getsockname()[1])])
        peer = FdPeer(None)

        async def opener(receiver: Receiver) -> Transport:
            transport = await open_transport(f"{scheme}:{command}", receiver, LinkOptions())
            connection, _ = await loop.sock_accept(server)
            peer.plug(connection.detach())
            return transport

        try:
            yield opener, peer
        finally:
            peer.close()


@contextlib.asynccontextmanager
async def alt_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with pty() as (peer, path):
        yield url_opener(f"alt://{path}?class=VTIMESerial"), peer


class MemoryPeer:
    def __init__(self, board: MemoryBoard) -> None:
        self.board = board

    async def send(self, data: bytes) -> None:
        self.board.feed(data)

    async def receive(self, count: int) -> bytes:
        self.board.resume()
        return await self.board.receive(count)

    def stall(self) -> None:
        self.board.stall()

    async def unplug(self) -> None:
        self.board.lose(OSError(5, "Input/output error"))


@contextlib.asynccontextmanager
async def memory_link() -> AsyncIterator[tuple[Opener, Peer]]:
    _, board = memory_pair()
    yield url_opener(board.port), MemoryPeer(board)


@contextlib.asynccontextmanager
async def traced_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with pty() as (peer, path), tempfile.NamedTemporaryFile() as file:

        async def opener(receiver: Receiver) -> Transport:
            return await open_traced(open_transport, path, receiver, LinkOptions(), file.name)

        yield opener, peer


class _LinedPty(serial.Serial):
    """A pseudo-terminal with modem lines, which real ones lack and the port manager asks for."""

    def __init__(self, path: str, on_reset: Callable[[], object]) -> None:
        self.lines: list[tuple[str, bool]] = []
        self._on_reset: Callable[[], object] = lambda: None
        super().__init__(path, timeout=None)
        self.lines.clear()
        self._on_reset = on_reset

    cts = dsr = ri = cd = property(lambda _: False)

    def _update_dtr_state(self) -> None:
        self.lines.append(("dtr", self.dtr))

    def _update_rts_state(self) -> None:
        self.lines.append(("rts", self.rts))
        # As most boards with an ESP chip are wired: RTS alone holds the chip in reset, and it starts when that ends.
        if self.lines[-2:] == [("rts", True), ("rts", False)] and not self.dtr:
            self._on_reset()


class Rfc2217Server:
    """pyserial's port manager over one pseudo-terminal, for one client, on loopback."""

    def __init__(self, path: str, on_reset: Callable[[], object] = lambda: None) -> None:
        self._path = path
        self._on_reset = on_reset
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._client: socket.socket | None = None
        self._device: _LinedPty | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="rfc2217 server")
        self._thread.start()

    @property
    def lines(self) -> list[tuple[str, bool]]:
        """What the client has set, in order."""
        assert self._device is not None
        return self._device.lines

    def write(self, data: bytes) -> None:
        """What the port manager sends its answers through."""
        assert self._client is not None
        with self._lock:
            self._client.sendall(data)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            self._client, _ = self._server.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._device = _LinedPty(self._path, self._on_reset)
            manager = serial.rfc2217.PortManager(self._device, self)  # type: ignore[arg-type]  # the stubs ask for more than it uses
            reader = threading.Thread(target=self._read_device, args=(manager,), name="rfc2217 server's reader")
            reader.start()
            try:
                while data := self._client.recv(4096):
                    self._device.write(b"".join(manager.filter(data)))
            except (OSError, serial.SerialException):
                pass
            finally:
                self._closing.set()
                self._device.cancel_read()
                reader.join()
                self._device.close()
        if self._client is not None:
            self._client.close()

    def _read_device(self, manager: serial.rfc2217.PortManager) -> None:
        assert self._device is not None
        assert self._client is not None
        try:
            while not self._closing.is_set():
                data = self._device.read(1)
                data += self._device.read(min(self._device.in_waiting, 4096))
                self.write(b"".join(manager.escape(data)))
        except (OSError, TypeError):
            with contextlib.suppress(OSError):  # ends the client as a server does whose port has gone
                self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        client, device = self._client, self._device
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        if device is not None and device.is_open:
            with contextlib.suppress(OSError, TypeError):
                device.cancel_write()
        self._thread.join()


@contextlib.asynccontextmanager
async def rfc2217_link() -> AsyncIterator[tuple[Opener, Peer]]:
    with pty() as (peer, path):
        server = Rfc2217Server(path)
        try:
            yield url_opener(f"rfc2217://127.0.0.1:{server.port}"), peer
        finally:
            peer.close()
            await asyncio.to_thread(server.close)


process_pty_link = partial(process_link, "process+pty")

LINKS: dict[str, Callable[[], contextlib.AbstractAsyncContextManager[tuple[Opener, Peer]]]] = {
    "pty": pty_link,
    "threaded pty": threaded_pty_link,
    "socket": socket_link,
    "memory": memory_link,
    "rfc2217": rfc2217_link,
    "traced pty": traced_link,
    "process": partial(process_link, "process"),
    "process+pty": process_pty_link,
    "alt": alt_link,
}
