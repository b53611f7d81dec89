"""The stand-in with threads, where the conformance checks do not reach."""

from __future__ import annotations

import asyncio
import threading

import pytest
import serial

from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, Disconnected
from belay_py.transports import LinkOptions, SupportsLines, open_transport
from belay_py.transports.blocking import open_threaded
from tests.transports.conformance import LARGE, PATIENCE, Recorder, descriptors
from tests.transports.links import Rfc2217Server, pty


async def test_a_loop_port_echoes_and_leaves_no_thread() -> None:
    threads = set(threading.enumerate())
    recorder = Recorder()
    async with asyncio.timeout(PATIENCE):
        transport = await open_threaded("loop://", recorder, LinkOptions())
        transport.write(LARGE)
        assert await recorder.receive(len(LARGE)) == LARGE
        transport.abort()
        assert await recorder.lost is None
    left = set(threading.enumerate()) - threads
    for thread in left:
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive()


async def test_abort_while_the_writer_is_stuck_is_bounded() -> None:
    recorder = Recorder()
    async with asyncio.timeout(PATIENCE):
        transport = await open_threaded("loop://", recorder, LinkOptions())
        transport.pause_reading()
        transport.write(LARGE * 2)
        await recorder.until(lambda: "pause" in recorder.calls)
        transport.abort()
        assert await recorder.lost is None


async def test_opening_fails_as_it_does_without_threads() -> None:
    before = descriptors()
    with pytest.raises(DeviceNotFound):
        await open_threaded("/dev/ttyNOSUCH0", Recorder(), LinkOptions())
    with pytest.raises(ConnectionFailed, match="baud"):
        await open_threaded("/dev/ttyNOSUCH0", Recorder(), LinkOptions(baudrate=0))
    with pty() as (_, path), serial.Serial(path, exclusive=True), pytest.raises(DeviceBusy):
        await open_threaded(path, Recorder(), LinkOptions())
    assert descriptors() == before


async def test_lines_go_to_the_remote_port_in_order() -> None:
    with pty() as (peer, path):
        server = Rfc2217Server(path)
        recorder = Recorder()
        async with asyncio.timeout(PATIENCE):
            transport = await open_transport(
                f"rfc2217://127.0.0.1:{server.port}", recorder, LinkOptions(dtr=False, baudrate=9600)
            )
            assert server.lines == [("dtr", False)]  # and RTS was left alone
            assert isinstance(transport, SupportsLines)
            transport.set_lines(dtr=True, rts=False)
            transport.write(b"x")
            assert await peer.receive(1) == b"x"
            assert server.lines[1:] == [("rts", False), ("dtr", True)]
            transport.abort()
            with pytest.raises(Disconnected):
                transport.set_lines(dtr=True)
            assert await recorder.lost is None
        await asyncio.to_thread(server.close)


async def test_what_is_no_rfc2217_server_is_told() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    number = server.sockets[0].getsockname()[1]
    before = descriptors()
    with pytest.raises(ConnectionFailed, match="is an RFC 2217 server running"):
        await open_transport(f"rfc2217://127.0.0.1:{number}?timeout=0.2", Recorder(), LinkOptions())
    assert len(descriptors()) <= len(before)
    server.close()
    await server.wait_closed()
