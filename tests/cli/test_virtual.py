"""``belay-py virtual``: a board for any tool, mpremote above all, and what is left when it ends: nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from .conftest import PATIENCE, Commands, children, complaint, ending, first_line

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return tmp_path / "link"


# -- mpremote -----------------------------------------------------------------------------------------------------


def _mpremote(commands: Commands, port: Path, *arguments: str | Path) -> str:
    pytest.importorskip("mpremote")
    done = commands.tool("mpremote", "connect", port, *arguments)
    assert done.returncode == 0, done
    return done.stdout.decode().replace("\r\n", "\n")


def test_mpremote_exec(shared: Commands, port: Path) -> None:
    assert _mpremote(shared, port, "exec", "print(6 * 7)") == "42\n"


def test_mpremote_run(shared: Commands, port: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(sys.implementation.name)\n" + "# a long comment\n" * 200)
    assert _mpremote(shared, port, "run", program) == "micropython\n"


def test_mpremote_copies_both_ways_and_lists(shared: Commands, port: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there.bin", tmp_path / "back.bin"
    there.write_bytes(bytes(range(256)) * 20)
    _mpremote(shared, port, "fs", "cp", there, ":copy.bin")
    assert "copy.bin" in _mpremote(shared, port, "fs", "ls")
    _mpremote(shared, port, "fs", "cp", ":copy.bin", back)
    assert back.read_bytes() == there.read_bytes()


def test_mpremote_mount(shared: Commands, port: Path, tmp_path: Path) -> None:
    (tmp_path / "mounted.py").write_text("answer = 42\n")
    said = _mpremote(shared, port, "mount", tmp_path, "exec", "import mounted; print(mounted.answer)")
    assert said.splitlines()[-1] == "42"


def test_mpremote_soft_reset(shared: Commands, port: Path) -> None:
    _mpremote(shared, port, "exec", "x = 1")
    assert _mpremote(shared, port, "resume", "exec", "print('x' in globals())") == "True\n"
    _mpremote(shared, port, "resume", "soft-reset")
    assert _mpremote(shared, port, "resume", "exec", "print('x' in globals())") == "False\n"


def test_belay_and_mpremote_take_turns(shared: Commands, port: Path) -> None:
    for _ in range(2):
        assert shared.run("eval", "-p", port, "1 + 1").stdout == b"2\n"
        assert _mpremote(shared, port, "exec", "print(3)") == "3\n"


# -- the pseudo-terminal and its link -----------------------------------------------------------------------------


def test_the_first_line_is_the_place_and_a_signal_ends_it(belay: Commands, link: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        server = belay.start("virtual", "--link", link)
        assert first_line(server) == str(link)
        assert link.is_symlink()
        server.send_signal(number)
        status, rest, help_text = ending(server)
        assert (status, rest) == (0, b"")
        assert str(link) in help_text
        assert not link.is_symlink()


def test_without_a_link_the_place_is_the_pseudo_terminal(belay: Commands) -> None:
    place = first_line(belay.start("virtual"))
    assert belay.run("exec", "-p", place, "print(1)").stdout == b"1\n"
    assert belay.run("exec", "-p", place, "print(2)").stdout == b"2\n"


def test_a_client_that_was_killed_leaves_a_usable_board(belay: Commands, link: Path) -> None:
    first_line(belay.start("virtual", "--link", link))
    client = belay.start("exec", "-p", link, "while True: print('x' * 100)")
    first_line(client)
    client.kill()
    client.communicate(timeout=PATIENCE)
    assert belay.run("exec", "-p", link, "print(1)").stdout == b"1\n"


def test_a_link_replaces_no_file(belay: Commands, link: Path) -> None:
    link.write_text("precious")
    done = belay.run("virtual", "--link", link)
    assert done.returncode == 2
    assert "exists and is no symbolic link" in complaint(done)
    assert link.read_text() == "precious"


def test_a_link_replaces_no_folder_and_needs_one(belay: Commands, tmp_path: Path) -> None:
    done = belay.run("virtual", "--link", tmp_path)
    assert (done.returncode, "exists and is no symbolic link" in complaint(done)) == (2, True)
    done = belay.run("virtual", "--link", tmp_path / "nosuch" / "link")
    assert (done.returncode, "choose another path" in complaint(done)) == (2, True)


def test_a_link_in_use_stays(belay: Commands, link: Path) -> None:
    first_line(belay.start("virtual", "--link", link))
    target = link.readlink()
    done = belay.run("virtual", "--link", link)
    assert done.returncode == 2
    assert "choose another path" in complaint(done)
    assert link.readlink() == target


def test_the_link_of_a_killed_board_is_replaced(belay: Commands, link: Path) -> None:
    server = belay.start("virtual", "--link", link)
    first_line(server)
    server.kill()
    server.communicate(timeout=PATIENCE)
    assert link.is_symlink()
    first_line(belay.start("virtual", "--link", link))
    assert belay.run("exec", "-p", link, "print(1)").stdout == b"1\n"


def test_a_link_that_somebody_else_put_there_stays(belay: Commands, link: Path) -> None:
    server = belay.start("virtual", "--link", link)
    first_line(server)
    link.unlink()
    link.write_text("precious")
    server.terminate()
    assert ending(server)[0] == 0
    assert link.read_text() == "precious"


def test_a_board_that_dies_is_status_4(belay: Commands, link: Path) -> None:
    server = belay.start("virtual", "--link", link)
    first_line(server)
    (board,) = children(server.pid)
    os.kill(board, signal.SIGKILL)
    status, _, said = ending(server)
    assert status == 4
    assert said.endswith("error: the virtual board's process has ended; start it again\n")
    assert not link.is_symlink()


# -- TCP ----------------------------------------------------------------------------------------------------------


def test_tcp_serves_one_client_after_the_other(belay: Commands) -> None:
    server = belay.start("virtual", "--tcp", "0")
    place = first_line(server)
    assert place.startswith("socket://127.0.0.1:")
    for number in range(3):
        assert belay.run("exec", "-p", place, f"print({number})").stdout == f"{number}\n".encode()
    server.send_signal(signal.SIGINT)
    assert ending(server)[0] == 0


def test_tcp_refuses_a_second_client_at_once(belay: Commands) -> None:
    server = belay.start("virtual", "--tcp", "127.0.0.1:0")
    address = ("127.0.0.1", int(first_line(server).rpartition(":")[2]))
    with socket.create_connection(address, PATIENCE) as first:
        first.sendall(b"\r\x03\x01")
        heard = b""
        while not heard.endswith(b"raw REPL; CTRL-B to exit\r\n>"):
            heard += first.recv(4096)
        with socket.create_connection(address, PATIENCE) as second:
            assert second.recv(1) == b""
        first.sendall(b"print(1)\x04")
        assert first.recv(1) == b"O"
    server.terminate()
    assert "refused 127.0.0.1" in ending(server)[2]


def test_tcp_on_a_port_that_is_taken(belay: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = belay.run("virtual", "--tcp", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "choose another port" in complaint(done)


# -- standard streams -----------------------------------------------------------------------------------------------


def test_standard_streams_serve_a_session_and_end_with_it(belay: Commands) -> None:
    # It is the session's child here; `belay` sees whether any process is left.
    server = f"process:{sys.executable} -m belay_py virtual --stdio"
    assert belay.run("exec", "-p", server, "print(6 * 7)").stdout == b"42\n"


def test_the_end_of_standard_input_is_the_end(belay: Commands) -> None:
    done = belay.run("virtual", "--stdio")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("other", [["--tcp", "0"], ["--link", "x"]])
def test_standard_streams_are_a_place_of_their_own(belay: Commands, other: list[str]) -> None:
    done = belay.run("virtual", "--stdio", *other)
    assert done.returncode == 2
    assert "leave --link and --tcp out" in complaint(done)


# -- the board's options ------------------------------------------------------------------------------------------


def test_a_folder_keeps_the_files(belay: Commands, link: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "greeting.py").write_text("text = 'hello'\n")
    first_line(belay.start("virtual", "--link", link, "--folder", folder))
    code = "import greeting\nprint(greeting.text)\nwith open('new.txt', 'w') as f: _ = f.write('kept')"
    assert belay.run("exec", "-p", link, code).stdout == b"hello\n"
    assert (folder / "new.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        (["--window", "32"], b"'raw_paste': True, 'window': 32"),
        (["--raw-paste", "refused"], b"'raw_paste': False, 'window': 0"),
        (["--raw-paste", "absent", "--ring", "300", "--overrun", "drop"], b"'raw_paste': False, 'window': 0"),
    ],
)
def test_options_reach_the_board(belay: Commands, link: Path, options: list[str], answer: bytes) -> None:
    first_line(belay.start("virtual", "--link", link, *options))
    told = json.loads(belay.run("info", "-p", link, "--json").stdout)["capabilities"]
    assert answer.decode() in str(told)
