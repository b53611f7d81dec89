"""A faulty wire in this process and its event loop: between ``memory:`` ports, on a virtual clock to the nanosecond."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from belay_py.testing.wire_line import SECOND
from belay_py.testing.wire_works import WireWorks
from belay_py.transports import open_transport
from belay_py.transports.memory import MemoryBoard, memory_pair

if TYPE_CHECKING:
    from belay_py.testing.wire_lane import Model
    from belay_py.transports import LinkOptions, Transport


class MemoryWire(WireWorks):
    """The host's end is a `MemoryBoard`; the board's is any transport, whose receiver this is."""

    def __init__(self, model: Model, name: str | None) -> None:
        super().__init__(model)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._moving = False
        self._host_held = self._board_held = False
        self._board: Transport | None = None
        self._near = self._make_near(name)
        self.over: asyncio.Future[None] = self._loop.create_future()
        """Done when the board's port is closed."""
        self.over.set_result(None)

    async def open_board(self, port: str, options: LinkOptions) -> None:
        """Connect the board's side. Raises what `open_transport` does."""
        await open_transport(port, self, options)
        self.has_board = True

    async def close(self) -> None:
        """Lose both ends; the board's port is free on return."""
        self.cut()
        self._leave_board()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.shield(self.over)

    # -- what is asked

    def _make_near(self, name: str | None) -> MemoryBoard:
        _, near = memory_pair(None if name is None else name.removeprefix("memory:"))
        near.on_data = self._from_host
        near.plugged = False
        return near

    def plug(self, where: str | None) -> str:
        """See `WireWorks`."""
        if where is not None and f"memory:{where.removeprefix('memory:')}" != self._near.port:
            self._near = self._make_near(where)
        self._near.plugged = True
        return self._near.port

    def cut(self) -> None:
        """See `WireWorks`."""
        if not self.is_cut:
            self.is_cut = True
            self._near.plugged = False
            self._near.lose(OSError(errno.EIO, "Input/output error"))
            self._near.resume()
            self._host_held = False
            for lane in self.lanes:
                lane.drop_all()

    def _leave_board(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            board.abort()

    def go_on(self) -> None:
        """See `WireWorks`."""
        self._move()

    # -- bytes

    def _now(self) -> int:
        return round(self._loop.time() * SECOND)

    def _from_host(self, data: bytes) -> None:
        self._near.received.clear()  # nobody asks this end what it has received
        if not self.is_cut:
            self.to_board.accept(data, self._now())
            self._move()

    def _move(self) -> None:
        if self._moving or self.is_cut:  # a board in memory answers from within write()
            return
        self._moving = True
        try:
            self._deliver_all()
        finally:
            self._moving = False
        if self.to_board.is_over or self.to_host.is_over:
            self.cut()
            return
        self._keep_pace()

    def _deliver_all(self) -> None:
        while not self.is_cut:
            now = self._now()
            self.to_board.advance(now)
            self.to_host.advance(now)
            if not self.to_board.out and not self.to_host.out:
                return
            if (data := bytes(self.to_board.out)) and self._board is not None:
                self.to_board.delivered(len(data))
                self._board.write(data)
            self.to_board.out.clear()
            if data := bytes(self.to_host.out):
                self.to_host.delivered(len(data))
                self._near.feed(data)

    def _keep_pace(self) -> None:
        # Noted before: what is resumed delivers from within the call, and comes here again.
        if self._host_held != (self.to_board.room <= 0):
            self._host_held = not self._host_held
            (self._near.stall if self._host_held else self._near.resume)()
        if self._board is not None and self._board_held != (self.to_host.room <= 0):
            self._board_held = not self._board_held
            (self._board.pause_reading if self._board_held else self._board.resume_reading)()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        looks = [look for lane in self.lanes if (look := lane.next_look(self._now(), 0)) is not None]
        if looks:
            self._timer = self._loop.call_at(min(looks) / SECOND, self._move)

    # -- what the board's transport calls

    def connection_made(self, transport: Transport) -> None:
        """See `belay_py.transports.Receiver`."""
        self._board = transport
        self._board_held = False
        self.over = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        """The board says something; while nobody has the port open, to nobody."""
        if not self.is_cut and self._near.connected:
            self.to_host.accept(data, self._now())
            self._move()

    def connection_lost(self, exc: Exception | None) -> None:
        """The board is gone: so is the port."""
        del exc
        if not self.over.done():
            self.over.set_result(None)
        self._board = None
        self.has_board = False
        self.cut()

    def pause_writing(self) -> None:
        """Its buffer takes it all: what a wire holds is little."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    def eof_received(self) -> bool | None:
        """The board's end is the wire's."""
        return None
