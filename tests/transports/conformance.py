"""What every transport promises, checked the same way on each of them.

A *link* is an asynchronous context manager that gives an opener, which connects a receiver, and the peer at the other
end. Each check gets a fresh one. Deadlines only bound a failure; none is part of what is checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeAlias

from belay_py.errors import Disconnected
from belay_py.transports.base import Receiver, Transport

PATIENCE = 20.0
LARGE = bytes(range(256)) * 1200  # 300 KB, every byte value


class Peer(Protocol):
    """The board's end of a link."""

    async def send(self, data: bytes) -> None: ...
    async def receive(self, count: int) -> bytes: ...
    def stall(self) -> None:
        """Take nothing until `receive` is called."""

    async def unplug(self) -> None: ...


Opener: TypeAlias = Callable[[Receiver], Awaitable[Transport]]
Link: TypeAlias = Callable[[], AbstractAsyncContextManager[tuple[Opener, Peer]]]


class Recorder(asyncio.Protocol):
    """A receiver that keeps what it was told, and objects to calls out of turn."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.calls: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.losses = 0
        self._changed = asyncio.Event()

    def _note(self, call: str) -> None:
        assert not self.losses, f"{call} after connection_lost"
        self.calls.append(call)
        self._changed.set()

    def connection_made(self, transport: object) -> None:
        assert not self.calls
        self._note("made")

    def data_received(self, data: bytes) -> None:
        assert data
        self.data += data
        self._note("data")

    def connection_lost(self, exc: Exception | None) -> None:
        self._note("lost")
        self.losses += 1
        self.lost.set_result(exc)

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def eof_received(self) -> bool | None:
        self._note("eof")
        return None

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def receive(self, count: int) -> bytes:
        await self.until(lambda: len(self.data) >= count)
        data = bytes(self.data[:count])
        del self.data[:count]
        return data


@contextlib.asynccontextmanager
async def _open(link: Link) -> AsyncIterator[tuple[Transport, Recorder, Peer]]:
    async with asyncio.timeout(PATIENCE), link() as (opener, peer):
        recorder = Recorder()
        transport = await opener(recorder)
        assert recorder.calls[:1] == ["made"]
        try:
            yield transport, recorder, peer
        finally:
            transport.abort()
            await recorder.lost
            for _ in range(3):  # whatever else was scheduled would come now, and the recorder objects
                await asyncio.sleep(0)
            assert recorder.losses == 1
            assert transport.is_closing()


async def bytes_arrive_in_order(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        for piece in (b"\x05A\x01", b"print('\xff')", b"\x04", bytes(range(256))):
            transport.write(piece)
            assert await peer.receive(len(piece)) == piece
            await peer.send(piece[::-1])
            assert await recorder.receive(len(piece)) == piece[::-1]
        transport.write(b"one")
        transport.write(b"")
        transport.write(b"two")
        assert await peer.receive(6) == b"onetwo"


async def large_writes_are_whole(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        peer.stall()
        transport.write(LARGE)
        transport.write(LARGE[::-1])
        if transport.get_write_buffer_size() > 64 * 1024:
            await recorder.until(lambda: "pause" in recorder.calls)
        assert await peer.receive(2 * len(LARGE)) == LARGE + LARGE[::-1]
        await recorder.until(lambda: recorder.calls.count("pause") == recorder.calls.count("resume"))
        while transport.get_write_buffer_size():  # a thread may count its last piece after the peer has it
            await asyncio.sleep(0)


async def large_reads_are_whole(link: Link) -> None:
    async with _open(link) as (_, recorder, peer):
        sending = asyncio.ensure_future(peer.send(LARGE))
        assert await recorder.receive(len(LARGE)) == LARGE
        await sending


async def paused_reading_delivers_nothing(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        transport.pause_reading()
        transport.pause_reading()
        await peer.send(b"held back")
        transport.write(b"x")
        assert await peer.receive(1) == b"x"  # the loop has turned, and the other direction works
        assert not recorder.data
        transport.resume_reading()
        transport.resume_reading()
        assert await recorder.receive(9) == b"held back"


async def reading_can_be_paused_at_once(link: Link) -> None:
    async with asyncio.timeout(PATIENCE), link() as (opener, peer):

        class Pausing(Recorder):
            def connection_made(self, transport: object) -> None:
                super().connection_made(transport)
                transport.pause_reading()  # type: ignore[attr-defined]  # every transport has it

        recorder = Pausing()
        transport = await opener(recorder)
        await peer.send(b"later")
        transport.write(b"x")
        assert await peer.receive(1) == b"x"
        assert not recorder.data
        transport.resume_reading()
        assert await recorder.receive(5) == b"later"
        transport.abort()
        assert await recorder.lost is None


async def unplugging_is_told_once(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        await peer.unplug()
        exc = await recorder.lost
        assert isinstance(exc, Disconnected), exc
        assert "\n" not in str(exc)
        transport.write(b"to nobody")
        transport.pause_reading()
        transport.resume_reading()


async def writing_to_an_unplugged_board_ends_in_connection_lost(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        await peer.unplug()
        transport.write(b"to nobody")
        transport.write(b"to nobody")
        assert isinstance(await recorder.lost, Disconnected)


async def unplugging_with_bytes_stuck_is_told(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        peer.stall()
        transport.write(LARGE)
        await peer.unplug()
        assert isinstance(await recorder.lost, Disconnected)
        assert transport.get_write_buffer_size() == 0


async def abort_drops_what_is_stuck(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        peer.stall()
        transport.write(LARGE * 4)
        transport.abort()
        transport.abort()
        assert transport.is_closing()
        assert await recorder.lost is None
        transport.abort()
        assert transport.get_write_buffer_size() == 0


async def what_is_written_right_before_abort_arrives(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        transport.write(b"x")
        assert await peer.receive(1) == b"x"  # the link is free
        transport.write(b"\x03")
        transport.write(b"\r\x02")
        transport.abort()
        assert await peer.receive(3) == b"\x03\r\x02"
        assert await recorder.lost is None


async def after_abort_all_is_silent(link: Link) -> None:
    async with _open(link) as (transport, recorder, peer):
        await peer.send(b"unread")
        transport.abort()
        told = len(recorder.calls)
        transport.write(b"x")
        transport.pause_reading()
        transport.resume_reading()
        assert await recorder.lost is None
        assert recorder.calls[told:] == ["lost"]
        transport.write(b"x")
        transport.pause_reading()
        transport.resume_reading()


async def the_receiver_may_abort_from_data_received(link: Link) -> None:
    async with asyncio.timeout(PATIENCE), link() as (opener, peer):

        class Aborting(Recorder):
            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                transport.abort()

        recorder = Aborting()
        transport = await opener(recorder)
        await peer.send(b"enough")
        assert await recorder.lost is None
        assert recorder.losses == 1


CHECKS: tuple[Callable[[Link], Awaitable[None]], ...] = (
    bytes_arrive_in_order,
    large_writes_are_whole,
    large_reads_are_whole,
    paused_reading_delivers_nothing,
    reading_can_be_paused_at_once,
    unplugging_is_told_once,
    writing_to_an_unplugged_board_ends_in_connection_lost,
    unplugging_with_bytes_stuck_is_told,
    abort_drops_what_is_stuck,
    what_is_written_right_before_abort_arrives,
    after_abort_all_is_silent,
    the_receiver_may_abort_from_data_received,
)


def descriptors() -> set[str]:
    """The open descriptors; numbers of the moment, without that which lists them."""
    folder = Path("/proc/self/fd")
    return {f"{entry.name} {target}" for entry in folder.iterdir() if (target := _target(entry)) is not None}


def _target(entry: Path) -> str | None:
    try:
        target = str(entry.readlink())
    except OSError:
        return None
    return None if target.startswith("/proc/") else target


async def check(link: Link, promise: Callable[[Link], Awaitable[None]]) -> None:
    """One promise of one transport, and that nothing is left of it: no descriptor, no thread."""
    fds, threads = descriptors(), set(threading.enumerate())
    await promise(link)
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("asyncio_"):
            continue  # the loop's own executor
        # It has told the loop already, so all that is left for it is to return.
        await asyncio.to_thread(thread.join, PATIENCE)
        assert not thread.is_alive(), thread
    assert descriptors() == fds


async def check_transport(link: Link) -> None:
    """Every promise."""
    for promise in CHECKS:
        await check(link, promise)
