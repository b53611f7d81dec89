"""``detect``: what it says of boards, of other things, and of ports that do not open."""

from __future__ import annotations

import json
import os
import signal
import tty
from typing import TYPE_CHECKING

import pytest

from .conftest import complaint, ending
from .test_bad_input import _with_ports

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Commands

SILENT = "process:sleep 1000"


def test_a_table_with_a_row_for_each_port_in_order(shared: Commands, port: Path) -> None:
    done = shared.run("detect", SILENT, port, SILENT, "loop://", "--timeout", "2")
    assert (done.returncode, done.stderr) == (0, b"")
    header, *rows = done.stdout.decode().splitlines()
    assert header.split() == ["PORT", "KIND", "DESCRIPTION"]
    ports = [SILENT, str(port), "loop://"]
    assert [row.split("  ")[0] for row in rows] == ports
    facts = [row.removeprefix(name).split(maxsplit=1) for row, name in zip(rows, ports, strict=True)]
    assert [kind for kind, _ in facts] == ["silent", "micropython", "other"]
    assert facts[0][1].startswith("no answer within 2 s")
    assert facts[1][1].rstrip() == "MicroPython 1.29.0 on JS with Emscripten"


def test_json(shared: Commands, port: Path) -> None:
    done = shared.run("detect", port, "process:sh -c 'echo no; exec sleep 1000'", "/dev/nosuch", "--json", "-t", "2")
    board, other, none = json.loads(done.stdout)
    assert (board["port"], board["kind"], board["heard"], board["error"]) == (str(port), "micropython", "", None)
    assert board["info"]["version"] == "1.29.0"
    assert (other["kind"], other["info"], other["heard"]) == ("other", None, "no\n")
    assert none == {"port": "/dev/nosuch", "kind": None, "error": none["error"]}
    assert "there is no /dev/nosuch" in none["error"]
    assert done.stderr.decode() == f"error: {none['error']}\n"
    assert done.returncode == 3


def test_named_ports_that_do_not_open_are_lines_of_their_own_and_an_exit_status(shared: Commands, port: Path) -> None:
    done = shared.run("detect", "/dev/nosuch", port, "/dev/null")
    assert done.returncode == 3
    assert [row.split()[:2] for row in done.stdout.decode().splitlines()] == [
        ["PORT", "KIND"],
        [str(port), "micropython"],
    ]
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("error: there is no /dev/nosuch")
    assert second.startswith("error: /dev/null is a device, but not a serial port")


def test_without_ports_all_serial_ports_are_looked_at_and_one_that_does_not_open_is_a_row(
    belay: Commands, tmp_path: Path, port: Path
) -> None:
    done = belay.run("detect", env=_with_ports([str(port), "/dev/nosuch"], belay, tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [row.split(maxsplit=2) for row in done.stdout.decode().splitlines()[1:]]
    assert [row[:2] for row in rows] == [["/dev/nosuch", "unknown"], [str(port), "micropython"]]
    assert "there is no /dev/nosuch" in rows[0][2]


@pytest.mark.parametrize(("options", "output"), [([], b""), (["--json"], b"[]\n")])
def test_no_serial_ports(belay: Commands, tmp_path: Path, options: list[str], output: bytes) -> None:
    done = belay.run("detect", *options, env=_with_ports([], belay, tmp_path))
    assert (done.returncode, done.stdout) == (0, output)
    assert b"no serial port was found: plug a board in" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["detect", ""], 2, "port is empty; name one"),
        (["detect", "-t", "0", "virtual:"], 2, "timeout is 0.0; it must be a number of seconds above 0, and finite"),
        (["detect", "-t", "soon", "virtual:"], 2, "as in 90, 250ms, 5m, 1h30m or 2d; inf is no limit"),
        (["detect", "-b", "0", "virtual:"], 2, "115200"),
        (["detect", "virtaul:"], 3, "did you mean virtual:?"),
    ],
)
def test_bad_input_is_one_line(belay: Commands, arguments: list[str], status: int, words: str) -> None:
    done = belay.run(*arguments)
    assert words in complaint(done)
    assert done.returncode == status


def test_help_has_examples_and_loads_no_session(belay: Commands) -> None:
    done = belay.run("detect", "--help")
    assert b"belay-py detect" in done.stdout.partition(b"Examples:")[2]
    code = (
        "import sys\nfrom belay_py.cli import app\napp.run(['devices'])\n"
        "print([name for name in ('asyncio', 'belay_py.session.detect') if name in sys.modules])"
    )
    assert belay.script(code).stdout.endswith(b"[]\n")


def test_ctrl_c_closes_the_ports(belay: Commands) -> None:
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        started = belay.start("detect", os.ttyname(slave), SILENT, "--timeout", "1000")
        assert os.read(master, 1) == b"\x03"  # it asks
        started.send_signal(signal.SIGINT)
        status, output, said = ending(started)
    finally:
        os.close(master)
        os.close(slave)
    assert (status, output) == (130, b"")
    assert said == "stopped by SIGINT: all ports were closed\n"
