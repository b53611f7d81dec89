"""MicroPython's own tool, through a pty."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tty
from typing import TYPE_CHECKING

import pytest

from .conftest import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from belay_py.virtual import BoardProcess


@pytest.fixture
def board(make_board: Callable[..., BoardProcess]) -> BoardProcess:
    return make_board()


@pytest.fixture
def mpremote(board: BoardProcess, tmp_path: Path) -> Iterator[Callable[..., str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    board.attach(master, holder="a pty")
    os.close(master)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", os.ttyname(slave), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    board.close()
    os.close(slave)


def test_it_executes_and_runs(mpremote: Callable[..., str], tmp_path: Path) -> None:
    assert mpremote("exec", "print(6 * 7)") == "42\n"
    (tmp_path / "s.py").write_text("for i in range(3): print(i)")
    assert mpremote("run", "s.py") == "0\n1\n2\n"
    assert mpremote("eval", "1 + 1") == "2\n"


def test_it_copies_both_ways_and_lists(mpremote: Callable[..., str], tmp_path: Path) -> None:
    data = os.urandom(20_000)
    (tmp_path / "a.bin").write_bytes(data)
    mpremote("fs", "cp", "a.bin", ":b.bin")
    assert "b.bin" in mpremote("fs", "ls")
    mpremote("fs", "cp", ":b.bin", "c.bin")
    assert (tmp_path / "c.bin").read_bytes() == data
    mpremote("fs", "mkdir", ":d")
    mpremote("fs", "cp", ":b.bin", ":d/e.bin")
    mpremote("fs", "rm", ":d/e.bin")
    mpremote("fs", "rmdir", ":d")


def test_it_mounts(mpremote: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("print('from the host')")
    assert "from the host" in mpremote("mount", ".", "exec", "import mod")


def test_it_resets(board: BoardProcess, mpremote: Callable[..., str]) -> None:
    mpremote("exec", "x = 1")
    mpremote("soft-reset")
    assert mpremote("resume", "exec", "print('x' in globals())") == "False\n"
    mpremote("exec", "import machine; pin = machine.Pin(3, machine.Pin.OUT, value=1)")
    mpremote("reset")
    # It ends before the board resets, and on a pty mpremote waits for ever for what it sent to the life before.
    eventually(lambda: board.pin(3) is None, "the reset")
    assert mpremote("exec", "print('again')") == "again\n"
