"""What needs no process: durations, line ends, stale links."""

from __future__ import annotations

import io
import math
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from belay_py.cli.options import seconds
from belay_py.cli.output import BoardOutput
from belay_py.errors import SettingsError
from belay_py.testing.links import linked


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("1.5", 1.5), (".5", 0.5), ("500ms", 0.5), ("5m", 300), ("1 h", 3600), ("2S", 2), ("inf", math.inf)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "-1", "5x", "nan", "1e3", "1:30"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no duration"):
        seconds(text)


@pytest.mark.parametrize("data", [b"a\r\nb\r\n", b"\r\r\n\r", b"\r", b"\n\r", b"\xff\xc3\r\n\xa9", b"\r\n\r\n"])
def test_line_ends_wherever_the_pieces_are_cut(data: bytes) -> None:
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1):
            stream = io.BytesIO()
            output = BoardOutput(stream)
            for piece in (data[:first], data[first:second], data[second:]):
                output.write(piece)
            output.finish()
            assert stream.getvalue() == data.replace(b"\r\n", b"\n")


def test_a_link_to_a_number_that_was_used_again_is_stale(tmp_path: Path) -> None:
    link = tmp_path / "link"
    ours, theirs = pty.openpty()
    try:
        path = os.ttyname(theirs)
        link.symlink_to(path)
        with pytest.raises(SettingsError, match="choose another path"), linked(str(link), path):
            pass
        # As if the terminal had been made after the link, by the file system's clock, which ticks every few ms.
        while Path(path).stat().st_ctime_ns <= link.lstat().st_ctime_ns:
            Path(path).chmod(0o600)
        with linked(str(link), "/nosuch"):
            assert str(link.readlink()) == "/nosuch"
        assert not link.is_symlink()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_link_to_a_file_is_never_stale(tmp_path: Path) -> None:
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(file)
    file.write_text("made after the link")
    with pytest.raises(SettingsError, match="choose another path"), linked(str(link), "/nosuch"):
        pass
    assert link.readlink() == file


def test_help_does_not_wait_for_what_only_boards_need() -> None:
    code = "import sys, belay_py.cli.app\nprint({'asyncio', 'serial', 'transitions', 'wasmtime'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
