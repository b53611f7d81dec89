"""Boards for the tests, and a plain socket client for their serial ports."""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py.errors import DeviceBusy
from belay_py.virtual import BoardProcess, VirtualBoardOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

PATIENCE = 20.0
"""Seconds after which a conversation that makes no progress fails."""


class Client:
    """The host's side of a wire, blocking."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        end.setblocking(True)
        end.settimeout(PATIENCE)
        self._ahead = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        """Read up to and with `end`; what follows stays for the next read."""
        data = self._ahead
        while end not in data:
            try:
                chunk = self.socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no {end!r} after {data[-200:]!r}") from None
            if not chunk:
                raise EOFError(data)
            data += chunk
        head, _, self._ahead = data.partition(end)
        return head + end

    def read_exactly(self, count: int) -> bytes:
        data = self._ahead
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise EOFError(data)
            data += chunk
        data, self._ahead = data[:count], data[count:]
        return data

    def read_to_end(self) -> bytes:
        data = self._ahead
        while chunk := self.socket.recv(65536):
            data += chunk
        return data

    def silent(self, seconds: float = 0.05) -> bool:
        """Whether nothing comes for a while."""
        return not self._ahead and not select.select([self.socket], [], [], seconds)[0]

    def enter_raw(self) -> None:
        self.send(b"\r\x03\x01")
        self.read_until(b"raw REPL; CTRL-B to exit\r\n>")

    def run(self, code: str) -> tuple[bytes, bytes]:
        """Execute at the raw prompt in one round trip; give output and traceback."""
        self.send(b"\x05A\x01" + code.encode() + b"\x04")
        assert self.read_exactly(2) == b"R\x01"
        self.read_until(b"\x04")
        output = self.read_until(b"\x04")[:-1]
        traceback = self.read_until(b"\x04")[:-1]
        assert self.read_exactly(1) == b">"
        return output, traceback

    def output(self, code: str) -> str:
        output, traceback = self.run(code)
        assert traceback == b"", traceback.decode()
        return output.decode()


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for a condition that no event announces."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)


def process_exists(pid: int) -> bool:
    """Whether a process is alive; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def make_board() -> Iterator[Callable[..., BoardProcess]]:
    """Make boards that end with the test."""
    boards: list[BoardProcess] = []

    def make(name: str | None = None, **options: object) -> BoardProcess:
        board = BoardProcess(name, VirtualBoardOptions(**options))  # type: ignore[arg-type]
        boards.append(board)
        board.start()
        return board

    yield make
    for board in boards:
        board.close()


@pytest.fixture(scope="module")
def shared_board() -> Iterator[BoardProcess]:
    """One board for all tests of a module."""
    with BoardProcess() as board:
        yield board


@pytest.fixture
def repl(shared_board: BoardProcess) -> Iterator[Client]:
    """A raw prompt on the module's board, with nothing defined and no files."""
    with shared_board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.output(
            "import os\n"
            "def _rm(p):\n"
            " for e in list(os.ilistdir(p)):\n"
            "  q = p + '/' + e[0]\n"
            "  if e[1] & 0x4000: _rm(q); os.rmdir(q)\n"
            "  else: os.remove(q)\n"
            "os.chdir('/')\n"
            "_rm('')"
        )
        client.send(b"\x04")
        client.read_until(b"raw REPL; CTRL-B to exit\r\n>")
        yield client
    eventually(lambda: _is_free(shared_board), "the wire's end")


def _is_free(board: BoardProcess) -> bool:
    try:
        board.open_wire().close()
    except DeviceBusy:
        return False
    return True
