"""``info`` and ``devices``, for people and for programs; help and version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import belay_py

from .test_bad_input import _with_ports

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Commands

BOARDS = ["/dev/ttyACM0", "/dev/ttyACM1"]


def test_info_is_a_table(shared: Commands, port: Path) -> None:
    done = shared.run("info", "-p", port)
    assert (done.returncode, done.stderr) == (0, b"")
    facts = dict(line.split("  ", 1) for line in done.stdout.decode().splitlines())
    assert facts["port"].strip() == str(port)
    assert "micropython 1." in facts["firmware"]


def test_info_as_json(shared: Commands, port: Path) -> None:
    told = json.loads(shared.run("info", "--port", port, "--json").stdout)
    assert told["port"] == str(port)
    assert told["implementation"] == "micropython"
    assert told["version"].startswith("1.")
    assert told["capabilities"]["raw_paste"] is True
    assert told["heap"]["free"] > 0


def test_devices_is_a_table(belay: Commands, tmp_path: Path) -> None:
    done = belay.run("devices", env=_with_ports(BOARDS, belay, tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    header, *rows = done.stdout.decode().splitlines()
    assert header.split() == ["PORT", "PROBABLY", "DESCRIPTION", "USB"]
    assert [row.split()[0] for row in rows] == BOARDS
    assert all("a board (rp2)" in row for row in rows)
    assert rows[1].split()[-1] == "usb:2E8A:0005:1"


def test_devices_as_json(belay: Commands, tmp_path: Path) -> None:
    told = json.loads(belay.run("devices", "--json", env=_with_ports(BOARDS, belay, tmp_path)).stdout)
    assert [(device["port"], device["usb"], device["likely_micropython"]) for device in told] == [
        ("/dev/ttyACM0", "usb:2E8A:0005:0", True),
        ("/dev/ttyACM1", "usb:2E8A:0005:1", True),
    ]


@pytest.mark.parametrize(("options", "output"), [([], b""), (["--json"], b"[]\n")])
def test_no_devices_is_no_error_and_tells_of_virtual(
    belay: Commands, tmp_path: Path, options: list[str], output: bytes
) -> None:
    done = belay.run("devices", *options, env=_with_ports([], belay, tmp_path))
    assert (done.returncode, done.stdout) == (0, output)
    assert b"--port virtual:" in done.stderr


@pytest.mark.parametrize("verb", ["exec", "eval", "run", "info", "devices", "virtual"])
def test_help_has_examples(belay: Commands, verb: str) -> None:
    done = belay.run(verb, "--help")
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"belay-py {verb}" in text.partition("Examples:")[2].partition("Options:")[0]
    if verb not in {"devices", "virtual"}:
        assert "BELAY_PORT" in text


@pytest.mark.parametrize("module", ["belay_py", "belay_py.cli"])
def test_version(belay: Commands, module: str) -> None:
    assert belay.tool(module, "--version").stdout.decode() == f"belay-py {belay_py.__version__}\n"


def test_what_a_verb_does_not_use_is_not_imported(belay: Commands) -> None:
    code = (
        "import sys\nfrom belay_py.cli import app\napp.run(['exec', '-t', '1', '-p', 'foo:', '1'])\n"
        "print([name for name in ('rich.table', 'wasmtime', 'belay_py.virtual.board') if name in sys.modules])"
    )
    assert belay.script(code).stdout == b"[]\n"
