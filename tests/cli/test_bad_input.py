"""Whatever is wrong, it is one line that says what to do, and never a Python traceback."""

from __future__ import annotations

import os
import pty
import socket
from pathlib import Path

import pytest

from .conftest import Commands, complaint

# Root may open anything, so somebody else has to try; who may be unable to read this checkout, or even Python, so what
# the second run needs is imported by a first one.
_AS_SOMEBODY_ELSE = """
import grp, os, pwd, sys
from belay_py.cli import app
app.run(["exec", "-p", "/dev/nosuch", "1"])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(app.run(["exec", "-p", sys.argv[1], "1"]))
"""


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["exec", "-p", "/dev/nosuch", "1"], 3, "there is no /dev/nosuch"),
        (["exec", "-p", "/tmp", "1"], 3, "is a directory, not a serial port"),
        (["exec", "-p", "/etc/passwd", "1"], 3, "is a regular file, not a serial port"),
        (["exec", "-p", "/dev/null", "1"], 3, "not a serial port"),
        (["exec", "-p", "virtaul:", "1"], 3, "did you mean virtual:?"),
        (["exec", "-p", "virtual:?windw=3", "1"], 3, "did you mean 'window'?"),
        (["exec", "-p", "usb:12", "1"], 3, "write usb:VID:PID"),
        (["exec", "-p", "socket://127.0.0.1:1", "1"], 3, "is its server running?"),
        (["exec", "-b", "0", "-p", "virtual:", "1"], 2, "115200"),
        (["exec", "-b", "fast", "-p", "virtual:", "1"], 2, "--baudrate"),
        (["exec", "-t", "soon", "-p", "virtual:", "1"], 2, "as in 90, 250ms, 5m, 1h30m or 2d; inf is no limit"),
        (["exec", "-t", "5 minutes", "-p", "virtual:", "1"], 2, "for minutes write m"),
        (["exec", "-t", "-1", "-p", "virtual:", "1"], 2, "as in 90, 250ms, 5m, 1h30m or 2d; inf is no limit"),
        (["exec", "--connect-timeout", "0", "-p", "virtual:", "1"], 2, "connection_timeout"),
        (["exec", "-p", "virtual:", "print(1)\n\x03"], 2, "line 2 holds the control character"),
        (["exec"], 2, "Missing argument 'CODE'. See: belay-py exec --help"),
        (["exec", "--prot", "virtual:", "1"], 2, "--prot"),
        (["exce", "1"], 2, "No such command 'exce'"),
        (["run", "-p", "virtual:", "/nosuch.py"], 2, "cannot read /nosuch.py"),
        (["run", "-p", "virtual:", "/tmp"], 2, "cannot read /tmp"),
        (["virtual", "--folder", "/nosuch"], 3, "there is no folder /nosuch; create it first"),
        (["virtual", "--window", "0"], 2, "window must be between"),
        (["virtual", "--ring", "1"], 2, "ring must be between"),
        (["virtual", "--overrun", "maybe"], 2, "stall"),
        (["virtual", "--tcp", "here"], 2, "write PORT or HOST:PORT"),
        (["virtual", "--tcp", "99999"], 2, "choose another port"),
        (["virtual", "--tcp", "nosuch.invalid:4000"], 2, "choose another port"),
        (["virtual", "--tcp", "0", "--link", "/tmp/x"], 2, "--link needs a pseudo-terminal"),
    ],
)
def test_bad_input_is_one_line(belay: Commands, arguments: list[str], status: int, words: str) -> None:
    done = belay.run(*arguments)
    assert words in complaint(done)
    assert done.returncode == status


def test_no_verb_shows_the_help_as_a_usage_error(belay: Commands) -> None:
    done = belay.run()
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"virtual" in done.stderr


def test_no_port_and_no_board(belay: Commands, tmp_path: Path) -> None:
    done = belay.run("exec", "1", env=_with_ports([], belay, tmp_path))
    assert done.returncode == 3
    assert "--port virtual:" in complaint(done)


def test_no_port_and_several_boards(belay: Commands, tmp_path: Path) -> None:
    done = belay.run("exec", "1", env=_with_ports(["/dev/ttyACM0", "/dev/ttyACM1"], belay, tmp_path))
    assert done.returncode == 3
    said = complaint(done)
    assert "--port" in said
    assert "/dev/ttyACM0" in said
    assert "/dev/ttyACM1" in said


def test_a_port_without_permission(belay: Commands) -> None:
    ours, theirs = pty.openpty()
    try:
        path = os.ttyname(theirs)
        Path(path).chmod(0)
        done = belay.script(_AS_SOMEBODY_ELSE, path)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 3
    first, second = done.stderr.decode().splitlines()
    assert "there is no /dev/nosuch" in first
    assert second.startswith(f"error: no permission to open {path}")


def test_without_the_virtual_extra(belay: Commands, tmp_path: Path) -> None:
    done = belay.run("exec", "-p", "virtual:", "1", env=_without("wasmtime", belay, tmp_path))
    assert done.returncode == 3
    assert 'pip install "belay_py[virtual]"' in complaint(done)


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_cli_extra(belay: Commands, tmp_path: Path, module: str) -> None:
    done = belay.run("--version", env=_without(module, belay, tmp_path))
    assert done.returncode == 2
    assert 'pip install "belay_py[cli]"' in complaint(done)


def test_without_a_network_for_the_artifact(belay: Commands, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    nowhere = {"BELAY_VIRTUAL_WASM": "", "BELAY_CACHE_DIR": str(tmp_path), "PATH": "/nosuch"}
    nowhere |= {"https_proxy": proxy, "HTTPS_PROXY": proxy, "no_proxy": "", "NO_PROXY": ""}
    for arguments in (["exec", "-p", "virtual:", "1"], ["virtual"]):
        done = belay.run(*arguments, env=nowhere)
        assert done.returncode == 3
        assert "npm pack @micropython/micropython-webassembly-pyscript" in complaint(done)


def test_a_wrong_sha256_of_the_artifact(belay: Commands, tmp_path: Path) -> None:
    wrong = tmp_path / "micropython.wasm"
    wrong.write_bytes(b"\0asm")
    done = belay.run("exec", "-p", "virtual:", "1", env={"BELAY_VIRTUAL_WASM": str(wrong)})
    assert done.returncode == 3
    assert "correct or unset BELAY_VIRTUAL_WASM" in complaint(done)


def test_an_artifact_that_is_not_there(belay: Commands) -> None:
    done = belay.run("exec", "-p", "virtual:", "1", env={"BELAY_VIRTUAL_WASM": "/nosuch"})
    assert done.returncode == 3
    assert "correct or unset it" in complaint(done)


def _with_ports(ports: list[str], belay: Commands, folder: Path) -> dict[str, str]:
    """The environment of a machine with these boards plugged in."""
    return _customized(
        "import serial.tools.list_ports as it\n"
        "from serial.tools.list_ports_common import ListPortInfo\n"
        "def comports(include_links=False):\n"
        f"    for number, path in enumerate({ports!r}):\n"
        "        port = ListPortInfo(path)\n"
        "        port.vid, port.pid, port.serial_number, port.location = 0x2E8A, 5, str(number), f'1-{number}'\n"
        "        yield port\n"
        "it.comports = comports\n",
        belay,
        folder,
    )


def _without(module: str, belay: Commands, folder: Path) -> dict[str, str]:
    """The environment of a Python that does not have a module."""
    return _customized(f"import sys\nsys.modules[{module!r}] = None\n", belay, folder)


def _customized(code: str, belay: Commands, folder: Path) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join((str(folder), belay.environ["PYTHONPATH"]))}
