"""Following what main.py prints: nothing is sent, nothing is lost, and the port is given back."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from typing import TYPE_CHECKING, AnyStr

import pytest

import belay_py.sync
from belay_py import (
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    IllegalTransition,
    SessionClosed,
    SessionTimeout,
)
from belay_py.session.streaming import LIMIT
from belay_py.transports.memory import memory_pair
from belay_py.transports.tracing import read_trace
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

State = DeviceSessionState
PATIENCE = 60.0

# It would say so if anything interrupted it.
COUNTING = """\
import time
n = 0
try:
    while True:
        print('tick', n, 'grüße')
        n += 1
        time.sleep_ms(1)
except BaseException as error:
    print('stopped by', repr(error))
"""


@pytest.fixture
async def counting(tmp_path: Path) -> AsyncIterator[VirtualBoard]:
    """A board whose main.py counts."""
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "main.py").write_text(COUNTING, encoding="utf-8")
    async with VirtualBoard(folder=folder) as board:
        yield board


@pytest.fixture(autouse=True)
async def deadline() -> AsyncIterator[None]:
    """Cancel what still waits after `PATIENCE`, so that it fails rather than hangs."""

    def cancel_all() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel("it waited for too long")

    loop = asyncio.get_running_loop()
    timer = loop.call_later(PATIENCE, cancel_all)
    yield
    timer.cancel()


async def consume(pieces: AsyncGenerator[AnyStr], found: list[AnyStr]) -> None:
    async for piece in pieces:
        found.append(piece)  # noqa: PERF401  what came before the end counts


async def test_a_running_main_py_is_followed_and_goes_on(counting: VirtualBoard, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    session = DeviceSession(counting.port, trace=path)
    numbers = []
    for _ in range(2):
        async with aclosing(session.monitor(mode="lines")) as lines:
            await anext(lines)  # it may be the second half of one
            async for line in lines:
                tick, number, greeting = line.split()
                assert (tick, greeting) == ("tick", "grüße")
                numbers.append(int(number))
                if len(numbers) % 20 == 0:
                    break
        assert session.state is State.CREATED
    assert numbers == sorted(set(numbers))
    assert numbers[:20] == list(range(numbers[0], numbers[0] + 20)), "every line came"
    for link in read_trace(path):
        assert link.sent_by("host") == b""
        assert [event["event"] for event in link.events] == ["opened", "closed"]


async def test_text_and_bytes(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port)
    text = ""
    async with aclosing(session.monitor()) as pieces:
        while text.count("\n") < 10:
            text += await anext(pieces)
    assert "\r" not in text
    assert "�" not in text[10:]
    data = b""
    async with aclosing(session.monitor(mode="bytes")) as chunks:
        while data.count(b"\n") < 10:
            data += await anext(chunks)
    assert data.count(b"\r\n") == data.count(b"\n")


async def test_nothing_is_sent_and_split_characters_are_joined() -> None:
    _, board = memory_pair()
    session = DeviceSession(board.port)
    async with aclosing(session.monitor()) as pieces:
        first = asyncio.ensure_future(anext(pieces))
        while not board.connected:
            await asyncio.sleep(0)
        board.feed("ü".encode()[:1])
        board.feed("ü\r".encode()[1:])
        assert await first == "ü"
        board.feed(b"\nx")
        assert await anext(pieces) == "\nx"
    assert board.received == b""
    assert not board.connected
    assert board.connections == 1


async def test_the_end_of_the_link_is_the_end_after_what_came_before(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port)
    lines = session.monitor(mode="lines")
    await anext(lines)
    await counting.unplug()
    with pytest.raises(Disconnected, match=counting.port):
        await consume(lines, [])
    assert session.state is State.CREATED
    with pytest.raises(DeviceNotFound):
        await anext(session.monitor())


async def test_what_came_before_the_loss_is_not_lost() -> None:
    _, board = memory_pair()
    session = DeviceSession(board.port)
    pieces = session.monitor(mode="bytes")
    first = asyncio.ensure_future(anext(pieces))
    while not board.connected:
        await asyncio.sleep(0)
    for number in range(5):
        board.feed(b"%d" % number)
    board.lose(OSError(5, "Input/output error"))
    found = [await first]
    with pytest.raises(Disconnected) as caught:
        await consume(pieces, found)
    assert b"".join(found) == b"01234"
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_deadline_ends_it_and_not_the_program(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port)
    with pytest.raises(SessionTimeout, match="the board runs on") as caught:
        async for _ in session.monitor(timeout=0.5):
            pass
    assert caught.value.recovered
    async with aclosing(session.monitor(mode="lines")) as lines:
        await anext(lines)
        assert (await anext(lines)).startswith("tick")


async def test_a_silent_board_is_left_at_the_deadline() -> None:
    _, board = memory_pair()
    session = DeviceSession(board.port)
    with pytest.raises(SessionTimeout):
        await anext(session.monitor(timeout=0))
    assert not board.connected


async def test_a_connected_session_cannot_be_monitored(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(IllegalTransition, match="connecting has stopped the board's program"):
            await anext(session.monitor())
        await session.disconnect()
        async with aclosing(session.monitor(timeout=PATIENCE)) as pieces:
            following = asyncio.ensure_future(anext(pieces))
            while session._monitoring._listener is None or session._monitoring._opening is not None:
                await asyncio.sleep(0)
            assert session.state is State.DISCONNECTED
            following.cancel()
            await asyncio.wait([following])
        await session.connect()
        assert (await session.execute("print(1)")).output == "1\n"
    with pytest.raises(SessionClosed, match="closed for good"):
        await anext(session.monitor())


async def test_connecting_waits_for_the_monitor(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port, connection_timeout=PATIENCE)
    pieces = session.monitor()
    await anext(pieces)
    connecting = asyncio.create_task(session.connect())
    for _ in range(10):
        assert await anext(pieces)
    assert not connecting.done()
    await pieces.aclose()
    await connecting
    assert (await session.execute("print(1)")).output == "1\n"
    await session.close()


async def test_connecting_gives_up_at_its_deadline(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port, connection_timeout=0.1)
    async with aclosing(session.monitor()) as pieces:
        await anext(pieces)
        with pytest.raises(SessionTimeout, match="busy"):
            await session.connect()
        assert await anext(pieces)
    assert session.state is State.CREATED


@pytest.mark.parametrize("end", ["disconnect", "close"])
async def test_ending_the_session_ends_the_monitor(counting: VirtualBoard, end: str) -> None:
    session = DeviceSession(counting.port)
    pieces = session.monitor()
    await anext(pieces)
    await getattr(session, end)()
    with pytest.raises(Disconnected, match="this program"):
        await consume(pieces, [])
    async with DeviceSession(counting.port) as other:  # the port is free
        assert (await other.execute("print(1)")).output == "1\n"


async def test_ending_the_session_ends_an_opening() -> None:
    from belay_py.transports import register

    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.get_running_loop().create_future()

    register("never", never)  # type: ignore[arg-type]  # it never returns
    session = DeviceSession("never:")
    first = asyncio.ensure_future(anext(session.monitor()))
    await asked.wait()
    await session.close()
    with pytest.raises(Disconnected, match="this program"):
        await first


@pytest.mark.parametrize("end", ["disconnect", "close"])
@pytest.mark.parametrize("turns", range(6))
async def test_ending_the_session_at_any_moment_of_the_opening(turns: int, end: str) -> None:
    _, board = memory_pair()
    session = DeviceSession(board.port)
    first = asyncio.ensure_future(anext(session.monitor()))
    while session._monitoring._opening is None:
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    await getattr(session, end)()
    assert not board.connected
    with pytest.raises(Disconnected, match="this program"):
        await first
    assert not board.connected


async def test_the_port_is_free_when_the_session_has_ended() -> None:
    from belay_py.transports import register

    asked = asyncio.Event()
    held = True

    async def slow_to_give_up(*arguments: object) -> None:
        nonlocal held
        try:
            asked.set()
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            held = False

    register("slow-to-give-up", slow_to_give_up)  # type: ignore[arg-type]  # it never returns
    session = DeviceSession("slow-to-give-up:")
    first = asyncio.ensure_future(anext(session.monitor()))
    await asked.wait()
    await session.close()
    assert not held
    with pytest.raises(Disconnected, match="this program"):
        await first


async def test_a_port_in_use(counting: VirtualBoard) -> None:
    one, other = DeviceSession(counting.port), DeviceSession(counting.port)
    async with aclosing(one.monitor()) as pieces:
        await anext(pieces)
        with pytest.raises(DeviceBusy):
            await anext(other.monitor())


async def test_a_cancelled_consumer_closes_the_port(counting: VirtualBoard) -> None:
    session = DeviceSession(counting.port)
    came = asyncio.Event()

    async def follow() -> None:
        async with aclosing(session.monitor()) as pieces:
            async for _ in pieces:
                came.set()

    task = asyncio.create_task(follow())
    await came.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    async with DeviceSession(counting.port) as other:
        assert (await other.execute("print(1)")).output == "1\n"


async def test_a_slow_consumer_holds_the_board_back() -> None:
    _, board = memory_pair()
    session = DeviceSession(board.port)
    async with aclosing(session.monitor(mode="bytes")) as pieces:
        first = asyncio.ensure_future(anext(pieces))
        while not board.connected:
            await asyncio.sleep(0)
        for _ in range(100):
            board.feed(b"x" * 4096)
        await first
        queue = session._monitoring._listener.queue  # type: ignore[union-attr]  # it runs
        while not queue._paused:
            await asyncio.sleep(0)
        assert queue._unread <= LIMIT + 4096
        count = 4096
        while count < 100 * 4096:
            count += len(await anext(pieces))


def test_the_blocking_face(tmp_path: Path) -> None:
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / "main.py").write_text(COUNTING, encoding="utf-8")
    session = belay_py.sync.DeviceSession(f"virtual:?folder={folder}")
    lines = list(itertools.islice(session.monitor(mode="lines"), 1, 11))
    assert all(line.startswith("tick") for line in lines)
    assert b"".join(itertools.islice(session.monitor(mode="bytes"), 3))
    session.close()
