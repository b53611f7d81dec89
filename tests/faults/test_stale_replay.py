"""A partition holds bytes both ways and heals: nothing old runs, nothing old is answered.

On a virtual clock with a scripted board behind a faulty wire, where the minute is a minute; and over real TCP to the
virtual board, through a relay that does what a network does with a connection that was reset: it delivers no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionState,
    Disconnected,
    SessionTimeout,
)
from belay_py.testing import FaultyWire, Forever, ScriptedBoard, VirtualClock
from tests.transports.links import Rfc2217Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from belay_py.virtual import BoardProcess
    from tests.conftest import PtyBoard

State = DeviceSessionState


def test_after_a_minute_of_partition_nothing_old_runs_and_nothing_old_is_answered() -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda code: f"answer to {code}")
        async with FaultyWire(board.port) as wire:
            session = DeviceSession(wire.port, recovery_timeout=5)
            await session.connect()
            wire.to_board.stall()
            wire.to_host.stall()
            queued = [asyncio.create_task(session.execute(f"old {n}", timeout=10 + n)) for n in range(4)]
            ended = await asyncio.gather(*queued, return_exceptions=True)
            first, *others = ended
            assert isinstance(first, SessionTimeout)
            assert (first.recovered, first.outcome) == (False, "unknown")
            assert {getattr(error, "outcome", "not_started") for error in others} == {"not_started"}
            assert asyncio.get_running_loop().time() == 15  # the first one's deadline and its recovery
            await asyncio.sleep(60 - asyncio.get_running_loop().time())
            wire.to_board.resume()
            wire.to_host.resume()
            await session.connect()
            assert (await session.execute("new")).output == "answer to new"
            # The one that had been handed over is known as unknown; it ran once, if at all. The others never did.
            codes = [execution.code for execution in board.executions]
            assert codes in (["new"], ["old 0", "new"])
            await session.close()

    VirtualClock.run(main())


def test_an_answer_held_for_a_minute_is_not_taken_for_a_new_one() -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda code: f"answer to {code}")
        async with FaultyWire(board.port) as wire:
            session = DeviceSession(wire.port, recovery_timeout=100)
            await session.connect()
            wire.to_host.stall()
            with_timeout = asyncio.create_task(session.execute("old", timeout=10))
            await asyncio.sleep(60)
            assert [execution.code for execution in board.executions] == ["old"]
            wire.to_host.resume()
            with pytest.raises(SessionTimeout) as caught:
                await with_timeout
            assert caught.value.recovered
            for number in range(5):
                assert (await session.execute(f"new {number}")).output == f"answer to new {number}"
            await session.close()

    VirtualClock.run(main())


@pytest.mark.parametrize(
    "late", [b"\x04\x04>", b"R\x01\x80\x00\x01\x04old\x04\x04>", b"old\x04", b"raw REPL; CTRL-B to"]
)
def test_an_answer_that_comes_twice_makes_the_next_execution_begin_with_a_handshake(late: bytes) -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda code: f"answer to {code}")
        session = DeviceSession(board.port)
        await session.connect()
        await session.execute("first")
        board.send("a timer prints")
        await asyncio.sleep(1)
        before = board.received
        await session.execute("second")
        assert b"\x03" not in board.received[len(before) :]
        for piece in (late[:1], late[1:]):
            board.send(piece)
            await asyncio.sleep(1)
        before = board.received
        assert (await session.execute("third")).output == "answer to third"
        assert board.received[len(before) :].startswith(b"\x03\x03")
        await session.close()

    VirtualClock.run(main())


def test_code_is_not_sent_when_the_proof_fails() -> None:
    async def main() -> None:
        board = ScriptedBoard()
        session = DeviceSession(board.port, recovery_timeout=2)
        await session.connect()
        board.send(b"\x04\x04>")
        await asyncio.sleep(1)
        board.silent = True
        with pytest.raises(Disconnected, match="nobody had asked for, and then") as caught:
            await session.execute("never", timeout=10)
        assert caught.value.outcome == "not_started"
        assert b"never" not in board.received
        assert asyncio.get_running_loop().time() == 3
        await session.close()

    VirtualClock.run(main())


class Network:
    """A relay between a host and a board: what it holds in a partition is lost when the host has reset meanwhile."""

    def __init__(self, board_end: Callable[[], socket.socket]) -> None:
        self._board_end = board_end
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.number: int = self._server.getsockname()[1]
        self.whole = asyncio.Event()
        self.whole.set()
        self.endings: list[str] = []
        """How each host's connection ended: ``end`` or ``reset``."""
        self.from_host: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            host, _ = await loop.sock_accept(self._server)
            host.setblocking(False)
            task = loop.create_task(self._pass(host))
            self._tasks.add(task)

    async def _pass(self, host: socket.socket) -> None:
        board = self._board_end()
        board.setblocking(False)
        back = asyncio.create_task(self._move(board, host))
        try:
            await self._move(host, board, note=True)
        finally:
            back.cancel()
            await asyncio.wait([back])
            board.close()
            host.close()

    async def _move(self, source: socket.socket, sink: socket.socket, *, note: bool = False) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._readable(source)
            await self.whole.wait()
            if note and self._was_reset(source):
                self.endings.append("reset")
                return
            try:
                data = source.recv(65536)
                if note:
                    self.from_host.append(data)
                if data:
                    await loop.sock_sendall(sink, data)
            except BlockingIOError:
                continue
            except OSError:
                self.endings += ["reset"] * note
                return
            if not data:
                self.endings += ["end"] * note
                return

    @staticmethod
    def _was_reset(end: socket.socket) -> bool:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        return any(found & select.POLLERR for _, found in poll.poll(0))

    @staticmethod
    async def _readable(end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(end, lambda: None if ready.done() else ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(end)

    async def close(self) -> None:
        self.whole.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._server.close()


@contextlib.asynccontextmanager
async def network(board_end: Callable[[], socket.socket]) -> AsyncIterator[Network]:
    found = Network(board_end)
    serving = asyncio.create_task(found.serve())
    try:
        yield found
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await found.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


async def partitioned(session: DeviceSession, net: Network) -> None:
    """Commands meet a partition; it heals; and the board has run none of them."""
    await session.connect()
    await session.execute("runs = []")
    net.whole.clear()
    first = asyncio.create_task(session.execute("runs.append('first')", timeout=0.3))
    others = [asyncio.create_task(session.execute(f"runs.append({n})", timeout=60)) for n in range(3)]
    with pytest.raises(SessionTimeout, match="behind a network") as caught:
        await first
    assert (caught.value.recovered, caught.value.outcome) == (False, "unknown")
    for other in others:
        with pytest.raises(Disconnected, match="behind a network") as refused:
            await other
        assert refused.value.outcome == "not_started"
    assert session.state is State.DISCONNECTED
    net.whole.set()
    await until(lambda: net.endings)
    assert net.endings == ["reset"]
    assert not any(b"append" in data for data in net.from_host)
    await session.connect()
    assert await session.evaluate("runs") == []
    assert session.generation == 2
    await session.close()


async def test_a_socket_that_timed_out_is_thrown_away_with_all_that_was_on_its_way(direct_board: BoardProcess) -> None:
    async with network(direct_board.open_wire) as net:
        await partitioned(DeviceSession(f"socket://127.0.0.1:{net.number}"), net)


async def test_an_rfc2217_connection_that_timed_out_is_thrown_away_too(make_pty_board: Callable[[], PtyBoard]) -> None:
    board = make_pty_board()
    servers: list[Rfc2217Server] = []

    def board_end() -> socket.socket:
        servers.append(Rfc2217Server(board.port))  # which serves one client
        return socket.create_connection(("127.0.0.1", servers[-1].port))

    async with network(board_end) as net:
        await partitioned(DeviceSession(f"rfc2217://127.0.0.1:{net.number}", connection_timeout=20), net)
    for server in servers:
        await asyncio.to_thread(server.close)


async def test_whoever_waits_while_a_connection_is_thrown_away_is_told_so_although_its_user_is_cancelled(
    make_pty_board: Callable[[], PtyBoard],
) -> None:
    """This transport's end takes a thread some milliseconds, in which the session is still in use."""
    server = Rfc2217Server(make_pty_board().port)
    session = DeviceSession(f"rfc2217://127.0.0.1:{server.port}", connection_timeout=20)
    await session.connect()
    channel = session._standing.channel
    assert channel is not None
    first = asyncio.create_task(session.execute("while True: pass", timeout=0.3))
    other = asyncio.create_task(session.execute("2", timeout=60))
    await until(lambda: channel._thrown_away)
    assert not first.done()
    first.cancel()
    with pytest.raises(Disconnected, match="behind a network") as refused:
        await other
    assert refused.value.outcome == "not_started"
    with pytest.raises(asyncio.CancelledError):
        await first
    await session.close()
    await asyncio.to_thread(server.close)


async def test_an_idle_stream_over_a_network_ends_with_its_connection(direct_board: BoardProcess) -> None:
    async with network(direct_board.open_wire) as net:
        session = DeviceSession(f"socket://127.0.0.1:{net.number}")
        await session.connect()
        with pytest.raises(SessionTimeout, match="behind a network") as caught:
            async for _ in session.stream("while True: pass", idle_timeout=0.3):
                pass
        assert not caught.value.recovered
        assert session.state is State.DISCONNECTED
        await session.connect()  # which stops the program, if the last Ctrl-C has not
        assert (await session.execute("print(1)")).output == "1\n"
        await session.close()


async def test_a_manager_connects_again_what_it_threw_away(direct_board: BoardProcess) -> None:
    async with (
        network(direct_board.open_wire) as net,
        DeviceSessionManager() as manager,
    ):
        session = await manager.create_session("far", f"socket://127.0.0.1:{net.number}", reconnect_delay=0.01)
        await session.execute("runs = []")
        net.whole.clear()
        with pytest.raises(SessionTimeout):
            await session.execute("runs.append(1)", timeout=0.3)
        net.whole.set()
        assert await session.evaluate("runs", timeout=30) == []
        assert session.generation == 2


async def test_a_program_that_runs_too_long_over_a_network_is_stopped_by_the_next_connection(
    direct_board: BoardProcess,
) -> None:
    async with network(direct_board.open_wire) as net:
        session = DeviceSession(f"socket://127.0.0.1:{net.number}")
        await session.connect()
        await session.execute("n = 0")
        with pytest.raises(SessionTimeout, match="behind a network"):
            await session.execute("while True: n += 1", timeout=0.3)
        await session.connect()
        count = await session.evaluate("n")
        assert await session.evaluate("n") == count
        await session.close()


def test_elsewhere_a_deadline_ends_in_recovery() -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda code: Forever())
        session = DeviceSession(board.port)
        await session.connect()
        with pytest.raises(SessionTimeout) as caught:
            await session.execute("loop", timeout=1)
        assert caught.value.recovered
        assert session.generation == 1
        await session.close()

    VirtualClock.run(main())
