"""The example programs run as they are, on the virtual board."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from .blocks import ROOT, TIMEOUT, difference, environment, run_python

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "examples"

SHOWN = {
    "blink_and_read.py": """\
micropython 1.29.0
blink
blink
blink
pin 26 reads 0 of 65535
""",
    "async_boards.py": """\
board 1: 2666466670000, on webassembly
board 2: 2666466670000, on webassembly
board 3: 2666466670000, on webassembly
""",
    "sensor.py": """\
set 4.0 C, the board read 4.0 C
set 21.5 C, the board read 21.5 C
set 85.0 C, the board read 85.0 C
""",
    "thermometer.py": """\
set 4.0 C, the board read 4.0 C
set 21.5 C, the board read 21.5 C
set 85.0 C, the board read 85.0 C
too hot: 85.0 C
""",
    "service_loop.py": """\
...
service: ... reads 0.0 C
...
service: round 1: healthy, ... boards idle
...
service: round 2: healthy, ... boards idle
...
service: the supply is switched off
...
service: 6 leases, ended in order
""",
    "sensor_service.py": """\
set 4.0 C: {'device': 'north', 'celsius': 4.0}
set 21.5 C: {'device': 'north', 'celsius': 21.5}
set 85.0 C: {'device': 'north', 'celsius': 85.0}
unplugged: 503 Connection failed
""",
}
ARGUMENTS = {"service_loop.py": ("--rounds", "2", "--every", "0")}


def run(name: str, folder: Path, *arguments: str) -> str:
    done = run_python(EXAMPLES / name, folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_example_is_tested() -> None:
    elsewhere = {"nightly_logger.py"}  # test_nightly_logger.py
    assert {*SHOWN} | elsewhere == {file.name for file in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_prints_what_it_should(name: str, tmp_path: Path) -> None:
    assert not difference(SHOWN[name], run(name, tmp_path, *ARGUMENTS.get(name, ())))


def test_pins_and_ports_can_be_chosen(tmp_path: Path) -> None:
    assert "pin 27 reads 0" in run("blink_and_read.py", tmp_path, "virtual:", "--led", "LED", "--adc", "27")
    assert run("sensor.py", tmp_path, "virtual:a-board", "--adc", "3") == "the board read 0.0 C\n"


def test_a_missing_board_does_not_disturb_the_others(tmp_path: Path) -> None:
    printed = run("async_boards.py", tmp_path, "virtual:", "/dev/ttyNONE")
    assert not difference("board 1: 2666466670000, on webassembly\nboard 2: DeviceNotFound: ...\n", printed)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_signal_ends_the_service_in_order(number: int, status: int, tmp_path: Path) -> None:
    service = subprocess.Popen(
        [sys.executable, "-u", "-W", "error", EXAMPLES / "service_loop.py", "--every", "600"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with service:
        try:
            assert service.stdout is not None
            assert any("round 1: healthy" in line for line in service.stdout)
            service.send_signal(number)
            rest, errors = service.communicate(timeout=TIMEOUT)
        finally:
            service.kill()
    assert (service.returncode, errors) == (status, "")
    assert rest.count("SessionDisconnected: shutdown") == 3
    assert "service: the supply is switched off" in rest


def test_the_tests_of_an_example_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", EXAMPLES / "sensor_service.py"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_the_sensor_service_serves_until_a_signal_comes(tmp_path: Path) -> None:
    service = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / "sensor_service.py", "--serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with service:
        try:
            assert service.stderr is not None
            url = next(found[0] for line in service.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            with urllib.request.urlopen(f"{url}/sensors/north", timeout=TIMEOUT) as answer:
                assert json.load(answer) == {"device": "north", "celsius": 0.0}
            service.send_signal(signal.SIGTERM)
            _, errors = service.communicate(timeout=TIMEOUT)
        finally:
            service.kill()
    assert "Application shutdown complete." in errors
    assert "Traceback" not in errors
