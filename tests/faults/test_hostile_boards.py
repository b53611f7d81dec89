"""Boards and ports that never do what they should: each call has its bounded end.

On a virtual clock with scripted boards, where the ends are exact; and on pseudo-terminals that nobody reads.
"""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    SessionClosed,
    SessionTimeout,
)
from belay_py.testing import Forever, Raise, ScriptedBoard, StopReading, SwallowInterrupts, VirtualClock
from belay_py.transports.memory import memory_pair
from tests.transports.links import pty

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

State = DeviceSessionState
NOISE = bytes(range(256)) * 4


def on_a_virtual_clock(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    VirtualClock.run(work())


def now() -> float:
    return asyncio.get_running_loop().time()


async def takes(seconds: float, call: Awaitable[object], error: type[BelayError] | None) -> None:
    """The call ends after just so many seconds of the clock, in this error, or without one."""
    began = now()
    caught: BelayError | None = None
    try:
        await call
    except BelayError as ended:
        caught = ended
    assert (type(caught) if caught else None) is error, caught
    assert now() - began == pytest.approx(seconds), caught


async def streamed(session: DeviceSession, timeout: float) -> None:
    async for _ in session.stream("x", timeout=timeout):
        pass


async def connected(board: ScriptedBoard) -> DeviceSession:
    session = DeviceSession(board.port, connection_timeout=30, recovery_timeout=5)
    await session.connect()
    return session


# What is called, how long it may take in all with a recovery of 5 s, and how it ends.
CALLS: dict[str, tuple[Callable[[DeviceSession], Awaitable[object]], float]] = {
    "execute": (lambda session: session.execute("x", timeout=10), 15),
    "evaluate": (lambda session: session.evaluate("x", timeout=10), 15),
    "stream": (lambda session: streamed(session, 10), 15),
    "soft_reset": (lambda session: session.soft_reset(timeout=10), 15),
    "hard_reset": (lambda session: session.hard_reset(timeout=10), 10),
}


def spoil_by_silence(board: ScriptedBoard) -> None:
    board.silent = True


def spoil_by_not_reading(board: ScriptedBoard) -> None:
    board.stop_reading()


@pytest.mark.parametrize("spoil", [spoil_by_silence, spoil_by_not_reading])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_board_that_takes_no_more_part(name: str, spoil: Callable[[ScriptedBoard], None]) -> None:
    async def main() -> None:
        board = ScriptedBoard()
        session = await connected(board)
        spoil(board)
        call, seconds = CALLS[name]
        await takes(seconds, call(session), SessionTimeout)
        assert session.state is State.ERROR
        await takes(0, session.interrupt(), None)
        await takes(0, session.execute("y"), SessionClosed)
        await takes(30, session.connect(), ConnectionFailed)
        await takes(0, session.disconnect(), None)
        await takes(0, session.close(), None)
        assert not board.connected

    on_a_virtual_clock(main)


@pytest.mark.parametrize("name", ["execute", "evaluate", "stream"])
def test_a_program_that_swallows_every_interrupt(name: str) -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda _: (SwallowInterrupts(), Forever()))
        session = await connected(board)
        call, seconds = CALLS[name]
        if name == "evaluate":
            board.on_code = lambda code: (SwallowInterrupts(), Forever())
        running = asyncio.create_task(takes(seconds, call(session), SessionTimeout))
        await asyncio.sleep(1)
        await takes(2, session.interrupt(timeout=2), SessionTimeout)
        await running
        assert session.state is State.ERROR
        assert "catches Ctrl-C" in session._standing.trouble
        await takes(0, session.close(), None)

    on_a_virtual_clock(main)


@pytest.mark.parametrize("ending", ["disconnect", "close"])
def test_leaving_a_program_that_swallows_every_interrupt(ending: str) -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda _: (SwallowInterrupts(), Forever()))
        session = await connected(board)
        running = asyncio.create_task(session.execute("x", timeout=1000))
        await asyncio.sleep(1)
        await takes(0, getattr(session, ending)(), None)
        with pytest.raises(BelayError):
            await running
        assert not board.connected

    on_a_virtual_clock(main)


class NoisyPort:
    """A port at which noise arrives all the time, whatever is sent there."""

    def __init__(self, noise: bytes = NOISE, every: float = 0.001) -> None:
        self.noise, self.every = noise, every
        self.on = True
        _, self.board = memory_pair()
        self.board.on_open = self._say
        self.bytes = 0

    def _say(self) -> None:
        if self.on and self.board.connected:
            self.bytes += len(self.noise)
            self.board.feed(self.noise)
            asyncio.get_running_loop().call_later(self.every, self._say)


@pytest.mark.parametrize("noise", [NOISE, b"\x00" * 999, b"R\x01\x80\x00\x01" * 99, b"\x04\x04>" * 99, b"OK" * 400])
def test_connecting_to_endless_noise(noise: bytes) -> None:
    async def main() -> None:
        port = NoisyPort(noise)
        session = DeviceSession(port.board.port, connection_timeout=30)
        await takes(30, session.connect(), ConnectionFailed)
        assert session.state is State.ERROR
        assert port.bytes > 5_000_000
        await takes(0, session.close(), None)

    on_a_virtual_clock(main)


def test_what_is_kept_of_endless_noise_is_little() -> None:
    async def main() -> None:
        port = NoisyPort(b"\xa5" * 16384)
        session = DeviceSession(port.board.port, connection_timeout=10)
        connecting = asyncio.create_task(session.connect())
        await asyncio.sleep(1)
        tracemalloc.start()
        await asyncio.sleep(8)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert port.bytes > 100_000_000
        assert kept < 1_000_000
        assert peak < 1_000_000
        with pytest.raises(ConnectionFailed):
            await connecting
        await session.close()

    on_a_virtual_clock(main)


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("noise", [NOISE, b"R\x01\x80\x00\x01\x04", b"\x04\x04>", b"\xa5" * 500])
def test_noise_that_begins_while_connected(noise: bytes, name: str) -> None:
    async def main() -> None:
        board = ScriptedBoard()
        session = await connected(board)
        board.silent = True
        loop = asyncio.get_running_loop()

        def say() -> None:
            if board.connected:
                board._wire.feed(noise)
                loop.call_later(0.01, say)

        say()
        began = now()
        call, seconds = CALLS[name]
        with pytest.raises(BelayError):
            await call(session)
        # The proof of the prompt, which noise before the code asks for, takes a recovery of its own.
        assert now() - began <= seconds + 5 + 1e-6
        assert session.state is State.ERROR
        assert session._standing.turn.take(), "the turn is free"
        session._standing.turn.release()
        await takes(0, session.close(), None)

    on_a_virtual_clock(main)


def test_a_board_that_answers_each_byte_after_a_tenth_of_a_second() -> None:
    """Slow is not broken: what ends before its deadline is right, what does not is told, and the next one is right."""

    async def main() -> None:
        board = ScriptedBoard(on_code=lambda code: code)
        feed, loop = board._wire.feed, asyncio.get_running_loop()
        due = 0.0

        def slowly(data: bytes) -> None:
            nonlocal due
            for value in data:
                due = max(due, loop.time()) + 0.1
                loop.call_at(due, feed, bytes([value]))

        session = DeviceSession(board.port, connection_timeout=120, recovery_timeout=60)
        await session.connect()
        board._wire.feed = slowly  # type: ignore[method-assign]  # the wire's other end
        began = now()
        assert (await session.execute("abc", timeout=30)).output == "abc"
        # The header of five bytes with its credit, the acknowledgement, the output, the marker and the end.
        assert now() - began == pytest.approx(0.1 * (5 + 1 + 3 + 4 + 3), abs=0.3)
        with pytest.raises(SessionTimeout) as caught:
            await session.execute("b" * 100, timeout=5)
        assert caught.value.recovered
        assert (await session.execute("def", timeout=30)).output == "def"
        assert [execution.code for execution in board.executions] == ["abc", "b" * 100, "def"]
        await session.disconnect()
        # Its answer to one attempt takes longer than the time to the next, and only the latest one's counts.
        await takes(120, session.connect(), ConnectionFailed)
        await takes(0, session.close(), None)

    on_a_virtual_clock(main)


def test_a_board_that_stops_reading_in_the_middle_of_a_program() -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda _: (StopReading(), Forever(b"still here", every=0.5)))
        session = await connected(board)
        await takes(15, session.execute("x", timeout=10), SessionTimeout)
        assert session.state is State.ERROR
        await takes(0, session.close(), None)
        assert not board.connected

    on_a_virtual_clock(main)


async def test_a_pty_that_nobody_reads_is_closed_at_once() -> None:
    """Where closing drains, as a tty does, a full buffer would hold it for half a minute."""
    with pty() as (peer, path):
        assert peer.fd is not None
        session = DeviceSession(path, connection_timeout=0.5)
        with pytest.raises(ConnectionFailed, match="no answer"):
            await session.connect()
        async with asyncio.timeout(20):
            await session.close()
        assert session.state is State.DISPOSED


async def test_a_board_behind_a_pty_that_is_read_no_more(make_pty_board: Any) -> None:
    """A program reads nothing and catches Ctrl-C: what is written fills ring and pty; the loop is never blocked."""
    board = make_pty_board()
    session = DeviceSession(board.port, recovery_timeout=0.5)
    await session.connect()
    channel = session._standing.channel
    assert channel is not None
    transport = channel._transport
    assert transport is not None
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    code = "import time\nwhile True:\n try: time.sleep(9)\n except: pass"
    running = asyncio.create_task(session.execute(code, timeout=0.5))
    while channel.repl.state.name != "OUTPUT":
        await asyncio.sleep(0)
    transport.write(b"x" * 1_000_000)  # more than the board's ring and the pty hold
    before = ticks
    with pytest.raises(SessionTimeout) as caught:
        await running
    assert not caught.value.recovered
    assert session.state is State.ERROR
    assert ticks > before
    async with asyncio.timeout(20):
        await session.close()
    ticking.cancel()


async def test_endless_noise_on_a_real_pty_leaves_the_loop_alive() -> None:
    with pty() as (peer, path):
        assert peer.fd is not None
        fd = os.dup(peer.fd)
        os.set_blocking(fd, True)
        ending = threading.Event()

        def shout() -> None:
            while not ending.is_set():
                os.write(fd, NOISE)

        thread = threading.Thread(target=shout)
        session = DeviceSession(path, connection_timeout=1)
        connecting = asyncio.create_task(session.connect())
        thread.start()
        try:
            turns = 0
            while not connecting.done():
                turns += 1
                await asyncio.sleep(0)
            assert turns > 10
            with pytest.raises(ConnectionFailed):
                await connecting
            async with asyncio.timeout(20):
                await session.close()
        finally:
            ending.set()
            while thread.is_alive():  # it may wait for room
                slave = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
                try:
                    os.read(slave, 65536)
                except BlockingIOError:
                    pass
                finally:
                    os.close(slave)
                await asyncio.sleep(0)
            os.close(fd)


def test_an_error_of_the_program_is_still_one_after_noise_of_a_timer() -> None:
    async def main() -> None:
        board = ScriptedBoard(on_code=lambda _: Raise("ValueError", "bad"))
        session = await connected(board)
        for _ in range(3):
            board.send(b"tick")
            await asyncio.sleep(1)
            with pytest.raises(ExecutionError):
                await session.execute("x")
        await session.close()

    on_a_virtual_clock(main)
