"""Boards for the tests: real MicroPython, reached directly and through a pty."""

from __future__ import annotations

import os
import signal
import tty
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from belay_py import transports
from belay_py.devices.locks import FOLDER_VARIABLE
from belay_py.virtual import BoardProcess, VirtualBoardOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest_plugins = ["pytester"]

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: Ctrl-C would do nothing.
# nohup does the same with SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def lock_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lock files of the tests' own: every pseudo-terminal and TCP port would leave one in the system's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("locks")))
        yield


class PtyBoard:
    """A virtual board behind a pseudo-terminal, as pyserial meets it."""

    def __init__(self, options: VirtualBoardOptions | None = None) -> None:
        self.process = BoardProcess(None, options)
        self.process.start()
        # Without somebody at the slave end, the master reads end of file as soon as a session closes.
        self._slave = -1
        self.plug_in()

    def plug_in(self) -> None:
        """Make the pty; its path is `port`."""
        master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.process.attach(master)  # the board takes a duplicate
        os.close(master)

    def close(self) -> None:
        """End the board and its pty."""
        errors = self.process._stderr
        errors.seek(0)
        last_words = errors.read().decode()
        self.process.close()
        assert not last_words, last_words
        os.close(self._slave)


@pytest.fixture(autouse=True)
def known_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheme that a test registers ends with it."""
    monkeypatch.setattr(transports, "_openers", dict(transports._openers))


@pytest.fixture(scope="module")
def direct_board() -> Iterator[BoardProcess]:
    """A virtual board, reached by its URL."""
    from belay_py.virtual import open_board

    board = open_board("virtual:shared-by-a-module")
    yield board
    board.close()


@pytest.fixture(scope="module")
def pty_board() -> Iterator[PtyBoard]:
    """A virtual board, reached through a pty."""
    board = PtyBoard()
    yield board
    board.close()


@dataclass(frozen=True)
class Board:
    """A board's port and its owner's handle."""

    port: str
    process: BoardProcess


@pytest.fixture(params=["direct", "pty"])
def board(request: pytest.FixtureRequest) -> Board:
    """A board that the tests of a module share, in turn by its URL and through a pty."""
    found: BoardProcess | PtyBoard = request.getfixturevalue(f"{request.param}_board")
    return Board(found.port, found.process if isinstance(found, PtyBoard) else found)


@pytest.fixture
def port(board: Board) -> str:
    """The port of `board`."""
    return board.port


@pytest.fixture
def make_pty_board() -> Iterator[Callable[..., PtyBoard]]:
    """Make boards behind ptys that end with the test; keywords are `VirtualBoardOptions`."""
    boards: list[PtyBoard] = []

    def make(**options: object) -> PtyBoard:
        boards.append(PtyBoard(VirtualBoardOptions(**options)))  # type: ignore[arg-type]  # checked by the class
        return boards[-1]

    yield make
    for board in boards:
        board.close()
