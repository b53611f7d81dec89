"""A faulty wire in memory, before a board by script, on the virtual clock: time is exact."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, Disconnected, SessionTimeout
from belay_py.errors import BelayError, DeviceNotFound, SettingsError
from belay_py.testing import Corrupt, Cut, FaultyWire, ScriptedBoard, Stall
from belay_py.testing.wire_line import SECOND, leaving
from belay_py.transports import LinkOptions, open_transport
from belay_py.transports.memory import memory_pair

if TYPE_CHECKING:
    from belay_py.transports import Transport


class Client(asyncio.Protocol):
    """Notes what comes, and when."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.last = 0.0
        self.lost: list[Exception | None] = []
        self.transport: Any = None

    def connection_made(self, transport: object) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.last = asyncio.get_running_loop().time()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


async def open_client(port: str) -> tuple[Client, Transport]:
    client = Client()
    return client, await open_transport(port, client, LinkOptions())


async def greet(session: DeviceSession) -> None:
    await session.connect()
    await session.execute("hello")


@pytest.mark.parametrize("rate", [9600, 19200, 57600, 115200, 230400, 460800, 921600])
@pytest.mark.parametrize("count", [1024, 16384])
async def test_a_transfer_takes_its_time_to_the_nanosecond_in_both_directions(rate: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    _, board = memory_pair()
    async with FaultyWire(board.port, baudrate=rate, latency=0.001) as wire:
        client, transport = await open_client(wire.port)
        arrived: list[float] = []
        board.on_data = lambda data: arrived.append(loop.time())
        began = loop.time()
        transport.write(bytes(count))
        board.feed(bytes(count))  # at once: each direction has a line of its own
        while len(board.received) < count or len(client.received) < count:
            await asyncio.sleep(0.001)
        takes = (leaving(0, count, rate) + SECOND // 1000) / SECOND
        assert arrived[-1] - began == pytest.approx(takes, abs=2e-9)
        assert client.last - began == pytest.approx(takes, abs=2e-9)
        transport.abort()


async def test_a_session_on_a_slow_wire() -> None:
    board = ScriptedBoard(on_code=lambda code: "x" * 1000)
    async with FaultyWire(board.port, baudrate=9600) as wire, DeviceSession(wire.port) as session:
        began = asyncio.get_running_loop().time()
        assert (await session.execute("x")).output == "x" * 1000
        took = asyncio.get_running_loop().time() - began
        assert 1000 / 960 < took < 1200 / 960


async def test_every_cut_is_exact_and_the_board_lives_on() -> None:
    board = ScriptedBoard(on_code=lambda code: "hello\n")
    async with FaultyWire(board.port) as wire:
        for direction in (wire.to_host, wire.to_board):
            async with DeviceSession(wire.port) as session:
                await session.execute("hello")
            whole = direction.passed
            for place in range(0, whole - 20, 7):
                await wire.reset()
                direction.at(place, Cut())
                session = DeviceSession(wire.port, enable_auto_reconnect=False)
                with pytest.raises(BelayError):
                    await greet(session)
                await session.close()
                assert wire.is_cut
                assert direction.passed == place
            await wire.reset()
    assert board.connections == 1


async def test_a_cut_takes_the_port_away_and_a_replug_gives_it_another_name() -> None:
    board = ScriptedBoard()
    async with FaultyWire(board.port, link="wired") as wire:
        assert wire.port == "memory:wired"
        client, _ = await open_client(wire.port)
        await wire.cut()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [type(exc) for exc in client.lost] == [Disconnected]
        with pytest.raises(DeviceNotFound):
            await open_client(wire.port)
        await wire.replug("again")
        assert wire.port == "memory:again"
        with pytest.raises(DeviceNotFound):
            await open_client("memory:wired")
        async with DeviceSession(wire.port):
            assert board.connections == 1


async def test_unplugging_closes_the_boards_port_and_replugging_opens_it() -> None:
    board = ScriptedBoard()
    async with FaultyWire(board.port) as wire:
        await wire.unplug()
        assert not board.connected
        await wire.replug()
        assert board.connected
        async with DeviceSession(wire.port):
            pass
    assert not board.connected


async def test_a_board_that_goes_takes_the_port_along() -> None:
    board = ScriptedBoard()
    async with FaultyWire(board.port) as wire:
        board.unplug()
        await wire.until_cut()
        assert not wire.has_board
        with pytest.raises(DeviceNotFound):
            await wire.replug()
        board.replug()
        await wire.replug()
        async with DeviceSession(wire.port):
            pass


async def test_a_stall_is_no_end_and_a_resume_delivers_what_waited() -> None:
    board = ScriptedBoard(on_code=lambda code: "hello\n")
    async with FaultyWire(board.port) as wire, DeviceSession(wire.port, enable_heartbeat=False) as session:
        wire.to_host.at(wire.to_host.passed, Stall())
        execution = asyncio.ensure_future(session.execute("hello", timeout=60))
        await asyncio.sleep(30)
        assert not execution.done()
        assert wire.to_host.stalled
        wire.to_host.resume()
        assert (await execution).output == "hello\n"


async def test_a_stalled_sender_is_held_up() -> None:
    _, board = memory_pair()
    async with FaultyWire(board.port) as wire:
        _, transport = await open_client(wire.port)
        wire.to_board.stall()
        for _ in range(100):
            transport.write(bytes(1000))
        assert transport.get_write_buffer_size() > 90_000
        wire.to_board.resume()
        assert transport.get_write_buffer_size() == 0
        assert len(board.received) == 100_000
        transport.abort()


async def test_a_half_open_wire_swallows_all_until_it_is_plugged_in_anew() -> None:
    board = ScriptedBoard()
    async with FaultyWire(board.port) as wire:
        session = DeviceSession(wire.port, enable_auto_reconnect=False, enable_heartbeat=False)
        await session.connect()
        wire.half_open()
        heard = len(board.received)
        with pytest.raises(SessionTimeout):
            await session.execute("1", timeout=5)
        assert len(board.received) == heard
        await session.close()
        await wire.cut()
        await wire.replug()
        async with DeviceSession(wire.port):
            pass


async def test_a_corrupted_byte_arrives_so() -> None:
    _, board = memory_pair()
    async with FaultyWire(board.port) as wire:
        client, transport = await open_client(wire.port)
        wire.to_host.at(1, Corrupt(0x01))
        board.feed(b"abc")
        await asyncio.sleep(0.001)
        assert client.received == b"acc"
        transport.abort()


async def test_what_a_board_says_to_nobody_is_not_counted() -> None:
    _, board = memory_pair()
    async with FaultyWire(board.port) as wire:
        board.feed(b"boot messages")
        await asyncio.sleep(0.001)
        client, transport = await open_client(wire.port)
        board.feed(b"hello")
        await asyncio.sleep(0.001)
        assert client.received == b"hello"
        assert wire.to_host.passed == 5
        transport.abort()


async def test_wrong_uses_say_what_is_right() -> None:
    board = ScriptedBoard()
    with pytest.raises(SettingsError, match="no kind of wire"):
        FaultyWire(board.port, "usb")  # type: ignore[arg-type]  # the point of it
    wire = FaultyWire(board.port)
    with pytest.raises(BelayError, match=r"start\(\) it"):
        _ = wire.port
    with pytest.raises(BelayError, match=r"start\(\) it"):
        wire.to_host.at(0, Cut())
    async with wire:
        with pytest.raises(BelayError, match="plugged in already"):
            await wire.replug()
