"""``monitor``, ``set-time``, and ``--trace`` of every verb that opens a board."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from belay_py.transports.tracing import read_trace

from .conftest import PATIENCE, Commands, children, complaint, ending, first_line

if TYPE_CHECKING:
    from pathlib import Path

COUNTING = "import time\nn = 0\nwhile True:\n    print('tick', n)\n    n += 1\n    time.sleep_ms(5)\n"


@pytest.fixture
def counting(belay: Commands, tmp_path: Path) -> Path:
    """The link of a board whose main.py counts."""
    folder, link = tmp_path / "files", tmp_path / "link"
    folder.mkdir()
    (folder / "main.py").write_text(COUNTING)
    first_line(belay.start("virtual", "--link", link, "--folder", folder))
    return link


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_monitor_until_a_signal(
    belay: Commands, counting: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    trace = tmp_path / "trace"
    process = belay.start("monitor", "-p", counting, "--trace", trace)
    first_line(process)  # it may be the end of a line
    numbers = [int(first_line(process).removeprefix("tick ")) for _ in range(5)]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    process.send_signal(number)
    code, _, said = ending(process)
    assert (code, said) == (status, f"stopped by {number.name}: the board runs on\n")
    [link] = read_trace(trace)
    assert link.sent_by("host") == b""
    again = belay.start("monitor", "-p", counting)
    first_line(again)
    assert int(first_line(again).removeprefix("tick ")) > numbers[-1]


def test_monitor_has_a_time_limit(belay: Commands, counting: Path) -> None:
    done = belay.run("monitor", "-p", counting, "--timeout", "300ms")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"tick" in done.stdout


def test_monitor_of_a_board_that_is_lost(belay: Commands, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(COUNTING)
    process = belay.start("monitor", "-p", f"virtual:?folder={tmp_path}")
    first_line(process)
    (board,) = children(process.pid)
    os.kill(board, signal.SIGKILL)
    status, _, said = ending(process)
    assert (status, said[:7], said.count("\n")) == (4, "error: ", 1)


def test_monitor_when_the_reader_goes_away(belay: Commands, counting: Path) -> None:
    process = belay.start("monitor", "-p", counting)
    first_line(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize("options", [[], ["--utc"]])
def test_set_time(belay: Commands, options: list[str]) -> None:
    belay.environ["TZ"] = "XYZ-3:30"  # three and a half hours east of Greenwich
    done = belay.run("set-time", "-p", "virtual:", *options)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = datetime.fromisoformat(done.stdout.decode().strip()) - timedelta(hours=0 if options else 3.5)
    assert abs(datetime.now(UTC).replace(tzinfo=None) - shown) < timedelta(seconds=PATIENCE)


@pytest.mark.parametrize(
    "arguments",
    [["exec", "print(1)"], ["eval", "1"], ["run", "-"], ["info"], ["set-time"], ["repl"]],
    ids=lambda a: a[0],
)
def test_every_verb_traces(belay: Commands, port: Path, tmp_path: Path, arguments: list[str]) -> None:
    trace = tmp_path / "trace"
    done = belay.run(*arguments, "-p", port, "--trace", trace)
    assert (done.returncode, done.stderr) == (0, b"")
    [link] = read_trace(trace)
    assert link.port == str(port)
    assert [event["event"] for event in link.events] == ["opened", "closed"]
    assert link.sent_by("board")


def test_a_trace_that_cannot_be_written(belay: Commands, port: Path) -> None:
    done = belay.run("exec", "-p", port, "--trace", "/nosuch/trace", "print(1)")
    assert done.returncode == 2
    assert "cannot write the trace to /nosuch/trace" in complaint(done)


def test_a_full_disk_ends_the_trace_only(belay: Commands, port: Path) -> None:
    done = belay.run("exec", "-p", port, "--trace", "/dev/full", "print(1)")
    assert (done.returncode, done.stdout) == (0, b"1\n")
    assert b"the trace in /dev/full ends here (No space left on device)" in done.stderr
