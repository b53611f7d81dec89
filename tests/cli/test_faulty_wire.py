"""``belay-py wire``: a wire before a board for any tool, and what is left when it ends: nothing."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

import pytest

from .conftest import PATIENCE, Commands, children, complaint, ending, first_line

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def line_of_stderr(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().decode().rstrip("\n")


def test_a_board_through_a_wire_and_what_passed(belay: Commands, port: Path, tmp_path: Path) -> None:
    link = tmp_path / "wired"
    wire = belay.start("wire", port, "--link", link, "--latency", "1ms")
    assert first_line(wire) == str(link)
    assert line_of_stderr(wire) == f"a wire to {port} is at {link}. Ctrl-C ends it"
    assert belay.run("exec", "--port", link, "print(6 * 7)").stdout == b"42\n"
    wire.terminate()
    status, output, said = ending(wire)
    assert (status, output) == (0, b"")
    to_board, to_host = (int(word) for word in said.split() if word.isdecimal())
    assert said == f"{to_board} bytes passed to the board, {to_host} to the host\n"
    assert to_board > 100
    assert to_host > 50
    assert not link.is_symlink()


def test_a_cut_and_a_replug(belay: Commands, port: Path, tmp_path: Path) -> None:
    link = tmp_path / "wired"
    wire = belay.start("wire", port, "--link", link, "--cut-after-to-host", "30", "--replug-after", "50ms")
    first_line(wire)
    line_of_stderr(wire)
    lost = belay.run("exec", "--port", link, "print(6 * 7)")
    assert lost.returncode in (3, 4)
    assert "gone" in complaint(lost)
    assert line_of_stderr(wire) == "the wire is cut; it is plugged in again in 0.05 s"
    assert line_of_stderr(wire) == f"the wire is plugged in again at {link}"
    assert belay.run("exec", "--port", link, "print(6 * 7)").stdout == b"42\n"
    wire.send_signal(signal.SIGINT)
    assert ending(wire)[0] == 0


def test_a_stall_ends_as_a_timeout(belay: Commands, port: Path, tmp_path: Path) -> None:
    wire = belay.start("wire", port, "--stall-after-to-board", "10")
    stalled = belay.run("exec", "--port", first_line(wire), "--connect-timeout", "1", "print(1)")
    assert stalled.returncode in {3, 4}
    assert complaint(stalled)


def test_a_wire_on_tcp(belay: Commands, port: Path) -> None:
    place = first_line(belay.start("wire", port, "--listen", "0"))
    assert place.startswith("socket://127.0.0.1:")
    assert belay.run("exec", "--port", place, "print(6 * 7)").stdout == b"42\n"


def test_a_wire_ends_after_its_time(belay: Commands, port: Path) -> None:
    assert ending(belay.start("wire", port, "--for", "0.2s"))[0] == 0


def test_a_board_that_ends_ends_the_wire(belay: Commands, tmp_path: Path) -> None:
    link = tmp_path / "board"
    board = belay.start("virtual", "--link", link)
    first_line(board)
    wire = belay.start("wire", link)
    first_line(wire)
    board.terminate()
    status, _, said = ending(wire)
    assert status == 4
    assert said.splitlines()[-1] == f"error: {link} is gone; plug it in again and start the wire anew"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["virtual:", "--link", "x", "--listen", "0"], 2, "leave one of them out"),
        (["virtual:", "--listen", "nowhere"], 2, "is no TCP port"),
        (["virtual:", "--drop", "2"], 2, "--drop"),
        (["virtual:", "--latency", "soon"], 2, "is no duration"),
        (["virtual:", "--link", "/proc/no"], 2, "choose another path"),
        (["/dev/no-such-board"], 3, "there is no /dev/no-such-board"),
    ],
)
def test_wrong_uses_are_one_line(belay: Commands, arguments: list[str], status: int, words: str) -> None:
    done = belay.run("wire", *arguments)
    assert (done.returncode, done.stdout) == (status, b"")
    assert words in complaint(done)


def test_a_killed_wire_leaves_no_process_and_no_link(belay: Commands, port: Path, tmp_path: Path) -> None:
    link = tmp_path / "wired"
    wire = belay.start("wire", port, "--link", link)
    first_line(wire)
    (engine,) = children(wire.pid)
    watched = os.pidfd_open(engine)
    try:
        wire.kill()
        assert select.select([watched], [], [], PATIENCE)[0]
    finally:
        os.close(watched)
    assert not link.is_symlink()
