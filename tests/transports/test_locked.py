"""The lock of a board while its transport lives, and no longer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import termios
from typing import TYPE_CHECKING

import pytest

from belay_py.devices.locks import PortLock, take
from belay_py.errors import ConnectionFailed, DeviceBusy
from belay_py.transports import LinkOptions, open_transport
from belay_py.transports.base import close_orphan
from tests.transports.conformance import PATIENCE, Recorder, descriptors
from tests.transports.links import Rfc2217Server, pty
from tests.workers import join_workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.transports.links import FdPeer

KINDS = ["path", "alt", "socket", "rfc2217"]


@contextlib.asynccontextmanager
async def port_of(kind: str) -> AsyncIterator[tuple[str, FdPeer | None]]:
    """A port of one kind, and the end whose closing unplugs it."""
    if kind == "socket":
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"socket://127.0.0.1:{server.getsockname()[1]}", None
        return
    with pty() as (peer, path):
        if kind == "rfc2217":
            remote = Rfc2217Server(path)
            try:
                yield f"rfc2217://127.0.0.1:{remote.port}", peer
            finally:
                await asyncio.to_thread(remote.close)
        else:
            yield {"path": path, "alt": f"alt://{path}?class=VTIMESerial"}[kind], peer


def _settings(peer: FdPeer | None) -> object:
    """The rate and modes of a pseudo-terminal, which opening it changes."""
    return None if peer is None or peer.fd is None else termios.tcgetattr(peer.fd)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_second_owner_is_refused_before_the_port_is_opened(kind: str) -> None:
    async with asyncio.timeout(PATIENCE), port_of(kind) as (port, peer):
        lock = take(port)
        before = descriptors()
        settings = _settings(peer)
        with pytest.raises(DeviceBusy, match=f"in use by pid {os.getpid()} .*this process") as caught:
            await open_transport(port, Recorder(), LinkOptions(baudrate=9600))
        assert isinstance(caught.value.holder, str)
        await asyncio.to_thread(join_workers)
        assert descriptors() == before
        assert _settings(peer) == settings
        lock.release()
        recorder = Recorder()
        transport = await open_transport(port, recorder, LinkOptions())
        with pytest.raises(DeviceBusy):
            take(port)
        transport.abort()
        await recorder.lost
        take(port).release()


@pytest.mark.parametrize("kind", ["path", "alt", "rfc2217"])
async def test_an_unplugged_port_is_free(kind: str) -> None:
    class Taking(Recorder):
        """Takes the lock in the very call that tells the end."""

        def connection_lost(self, exc: Exception | None) -> None:
            take(port).release()
            super().connection_lost(exc)

    async with asyncio.timeout(PATIENCE), port_of(kind) as (port, peer):
        assert peer is not None
        recorder = Taking()
        await open_transport(port, recorder, LinkOptions())
        peer.close()
        assert await recorder.lost is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_opening_leaves_no_lock(kind: str) -> None:
    for turns in range(8):
        # An RFC 2217 server serves one client here, so each attempt gets a port of its own.
        async with asyncio.timeout(PATIENCE), port_of(kind) as (port, _):
            recorder = Recorder()
            opening = asyncio.ensure_future(open_transport(port, recorder, LinkOptions()))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            try:
                transport = await opening
            except asyncio.CancelledError:
                if recorder.calls:
                    await recorder.lost
            else:
                transport.abort()
                await recorder.lost
            await asyncio.to_thread(join_workers)
            lock = take(port)
            assert lock.is_held
            lock.release()


async def test_an_opening_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    for port in (f"socket://127.0.0.1:{number}", f"rfc2217://127.0.0.1:{number}", "/dev/null"):
        with pytest.raises(ConnectionFailed):
            await open_transport(port, Recorder(), LinkOptions())
        lock = take(port)
        assert lock.is_held
        lock.release()


@pytest.mark.parametrize("kind", ["path", "alt", "socket"])
def test_a_loop_that_was_closed_keeps_no_lock(kind: str) -> None:
    with pty() as (_, path), socket.create_server(("127.0.0.1", 0)) as server:
        ports = {"path": path, "alt": f"alt://{path}", "socket": f"socket://127.0.0.1:{server.getsockname()[1]}"}
        port = ports[kind]
        transport = asyncio.run(open_transport(port, _Forgetful(), LinkOptions()))
        with pytest.raises(DeviceBusy):
            take(port)
        close_orphan(transport)
        join_workers()
        take(port).release()


class _Forgetful(asyncio.Protocol):
    """A receiver that outlives its loop."""

    def connection_made(self, transport: object) -> None:
        """Keep nothing."""


async def test_not_exclusive_takes_no_lock_and_minds_none() -> None:
    async with asyncio.timeout(PATIENCE), port_of("path") as (port, _):
        lock = take(port)
        recorder = Recorder()
        transport = await open_transport(port, recorder, LinkOptions(exclusive=False))
        lock.release()
        take(port).release()
        transport.abort()
        await recorder.lost


async def test_links_to_one_port_are_one_board(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), port_of("path") as (port, _):
        for name in ("one", "two"):
            (tmp_path / name).symlink_to(port)
        recorder = Recorder()
        transport = await open_transport(str(tmp_path / "one"), recorder, LinkOptions())
        with pytest.raises(DeviceBusy, match="two is in use by"):
            await open_transport(str(tmp_path / "two"), Recorder(), LinkOptions())
        transport.abort()
        await recorder.lost


def test_a_lock_without_a_descriptor_locks_nothing() -> None:
    lock = PortLock()
    assert not lock.is_held
    lock.release()
