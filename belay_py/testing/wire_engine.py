"""The process of a faulty wire: plain blocking waits, so that no other thread, task or collector delays a byte."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py.errors import BelayError
from belay_py.testing.wire_ends import DescriptorEnd, End, Gone, HostEnd, ServerEnd, SocketEnd, TerminalEnd
from belay_py.testing.wire_lane import Lane, Model
from belay_py.testing.wire_line import SECOND
from belay_py.testing.wire_works import WireWorks
from belay_py.virtual import control

if TYPE_CHECKING:
    from types import FrameType

_PAUSE = SECOND // 10_000
"""Bytes that arrive within a tenth of a millisecond are delivered together, but for the last, which is on time."""
_LINGER = SECOND
"""How long a cut waits for the client to read what was delivered before."""
_LOOK_S = 0.0002
_TICK_S = 0.001
"""Where nothing tells that a client has come (not on Linux), how often to look."""


class Engine(WireWorks):
    """Carries bytes until its owner closes the control socket."""

    def __init__(self, link: socket.socket, settings: dict[str, Any]) -> None:
        super().__init__(Model(**settings["model"]))
        self._control = link
        self._kind: str = settings["kind"]
        self._where: str | None = settings["where"]
        self._folder: str | None = settings["folder"]
        self._host: HostEnd | None = None
        self._board: End | None = None
        self._cut_by: int | None = None

    # -- what is asked

    def take_board(self, end: End) -> None:
        """Connect the board's side."""
        self._board = end
        self.has_board = True

    def plug(self, where: str | None) -> str:
        """See `WireWorks`."""
        self._where = where or self._where
        if self._kind == "pty":
            self._host = TerminalEnd(self._where)
        else:
            host, _, number = str(self._where).rpartition(":")
            server = ServerEnd(host.strip("[]"), int(number))
            # The same number again after a cut.
            self._where = f"{host}:{server.number}"
            self._host = server
        return self._host.port

    def cut(self) -> None:
        """See `WireWorks`."""
        if self._cut_by is None and self._host is not None:
            self._cut_by = time.monotonic_ns() + _LINGER

    def _leave_board(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None

    def go_on(self) -> None:
        """See `WireWorks`; the loop looks anyway."""

    # -- the loop

    def run(self) -> None:
        """Carry bytes."""
        try:
            while True:
                self._move(time.monotonic_ns())
                ready = self._wait()
                now = time.monotonic_ns()
                if self._control.fileno() in ready:
                    self._answer()
                self._take_in(ready, now)
        except (EOFError, OSError):
            return
        finally:
            self._end()

    def _end(self) -> None:
        if self._host is not None:
            self._host.close()
        self._leave_board()
        self._control.close()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                Path(self._folder).rmdir()

    def _move(self, now: int) -> None:
        """Deliver what is due."""
        if self._cut_by is None and self._host is not None:
            self._deliver(self.to_board, self._board, now)
            self._deliver(self.to_host, self._host, now)
            if self.to_board.is_over or self.to_host.is_over:
                self.cut()
        if self._cut_by is not None and self._host is not None and (self._host.is_read() or now >= self._cut_by):
            self._host.close()
            self._host = None
            self._cut_by = None
            self.is_cut = True
            for lane in self.lanes:
                lane.drop_all()

    def _deliver(self, lane: Lane, end: End | None, now: int) -> None:
        lane.advance(now)
        try:
            while lane.out and end is not None:
                count = end.write(bytes(lane.out))
                if not count:
                    return
                lane.delivered(count)
        except Gone:
            lane.drop_all()
            if lane is self.to_board:
                self._board_is_gone()

    def _board_is_gone(self) -> None:
        self._leave_board()
        self.has_board = False
        self.cut()

    def _wait(self) -> list[int]:
        reading, writing = [self._control.fileno()], []
        host, board = self._host, self._board
        pause: float | None = None
        if self._cut_by is not None:
            pause = _LOOK_S
        elif host is not None:
            listening = host.listens_on()
            if listening is not None:
                reading.append(listening)
            if host.someone_is_there():
                if self.to_board.room > 0:
                    reading.append(host.fileno())
                if self.to_host.out:
                    writing.append(host.fileno())
            elif listening is None:
                pause = _TICK_S
            pause = self._until_due(pause)
        if board is not None:
            if self.to_host.room > 0 or host is None:
                reading.append(board.fileno())
            if self.to_board.out and self._cut_by is None:
                writing.append(board.fileno())
        return select.select(reading, writing, [], pause)[0]

    def _until_due(self, pause: float | None) -> float | None:
        now = time.monotonic_ns()
        looks = [look for lane in self.lanes if (look := lane.next_look(now, _PAUSE)) is not None]
        if not looks:
            return pause
        due = max(min(looks) - now, 0) / SECOND
        return due if pause is None else min(due, pause)

    def _take_in(self, ready: list[int], now: int) -> None:
        host, board = self._host, self._board
        if host is not None and self._cut_by is None:
            if host.listens_on() in ready:
                host.attend()
            # Without a client the master is not waited on, but holds what a client wrote that has closed.
            if self.to_board.room > 0 and (not host.someone_is_there() or host.fileno() in ready):
                try:
                    self.to_board.accept(host.read(self.to_board.room), now)
                except Gone:  # the client has closed, which the board does not see, as on a real wire
                    self.to_host.drop_all()
        if board is not None and board.fileno() in ready:
            # What nobody reads is lost: so is what a board says while its port is not open.
            open_ = host is not None and self._cut_by is None and host.someone_is_there()
            try:
                data = board.read(self.to_host.room if open_ else 4096)
                if open_:
                    self.to_host.accept(data, now)
            except Gone:
                self._board_is_gone()

    def _answer(self) -> None:
        asked, fd = control.receive(self._control)
        answer: dict[str, Any]
        try:
            if asked["do"] == "take_board":
                self.take_board(SocketEnd(control.from_share(asked["share"])) if fd is None else DescriptorEnd(fd))
                answer = {"value": None}
            else:
                answer = {"value": self.handle(asked)}
        except BelayError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        control.send(self._control, answer)


def _quick_timers() -> None:
    # The kernel may end a wait 50 microseconds late to join it with others (Documentation/timers, timerslack_ns);
    # at 921,600 baud that is five bytes.
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1", encoding="ascii")


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise EOFError  # as when the owner goes


def main() -> None:
    """Serve the owner at standard input."""
    signal.signal(signal.SIGTERM, _leave)
    _quick_timers()
    if sys.platform == "win32":
        link = control.from_share(sys.stdin.readline().strip())
    else:
        link = socket.socket(fileno=0)
    settings, _ = control.receive(link)
    engine = Engine(link, settings)
    control.send(link, {"value": None})
    engine.run()


if __name__ == "__main__":
    main()
