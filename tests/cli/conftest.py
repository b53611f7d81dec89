"""The command line as people run it: in processes of its own, on a board that is real MicroPython."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0
"""Seconds after which a command that makes no progress fails."""
ROOT = Path(__file__).parents[2]


class Commands:
    """Runs and starts ``belay-py``, and ends whatever a test left running."""

    def __init__(self) -> None:
        self._mark = f"TEST_OF_BELAY_MARK={secrets.token_hex(8)}"
        name, _, value = self._mark.partition("=")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environ = {**os.environ, "PYTHONPATH": path, name: value, "COLUMNS": "200"}
        for variable in ("BELAY_PORT", "BELAY_SETTINGS"):
            self.environ.pop(variable, None)
        self._started: list[subprocess.Popen[bytes]] = []

    def run(
        self, *arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self.tool("belay_py.cli", *arguments, stdin=stdin, env=env)

    def tool(
        self, module: str, *arguments: str | Path, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return self._run(["-m", module, *map(str, arguments)], stdin, env)

    def script(self, code: str, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
        return self._run(["-c", code, *map(str, arguments)])

    def _run(
        self, arguments: list[str], stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**self.environ, **(env or {})},
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "belay_py.cli", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
        )
        self._started.append(process)
        return process

    def processes(self) -> list[int]:
        """Every process that descends from this test's commands, by the variable that it inherited."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if self._mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:  # it ended meanwhile, or is somebody else's
                    continue
        return found

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while (left := self.processes()) and time.monotonic() < deadline:
            with end_of(left[0]) as end:
                select.select([end], [], [], max(0.0, deadline - time.monotonic()))
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"processes were left behind: {left}"


@contextlib.contextmanager
def end_of(pid: int) -> Iterator[int]:
    """Give a descriptor that can be read when a process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:  # it has ended, and its parent has seen that
        descriptor = os.open(os.devnull, os.O_RDONLY)  # which can always be read
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.fixture
def belay() -> Iterator[Commands]:
    """The command line. Fails the test that leaves a process behind."""
    commands = Commands()
    yield commands
    commands.end()


@pytest.fixture(scope="module")
def shared() -> Iterator[Commands]:
    """The same, for what a whole module uses."""
    commands = Commands()
    yield commands
    commands.end()


@pytest.fixture(scope="module")
def port(shared: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The link of a virtual board that serves the whole module: quicker than a new board per command."""
    link = tmp_path_factory.mktemp("board") / "link"
    first_line(shared.start("virtual", "--link", link))
    return link


def first_line(process: subprocess.Popen[bytes]) -> str:
    """The first line that a process writes, while it runs."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.endswith(b"\n"):
        raise AssertionError(f"{process.communicate(timeout=PATIENCE)} after {line!r}")
    return line.decode().rstrip("\n")


def ending(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Wait for a process; give its status, the rest of its output, and what it complained of."""
    output, complaint = process.communicate(timeout=PATIENCE)
    return process.returncode, output, complaint.decode()


def complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line that a failed command wrote."""
    text = done.stderr.decode()
    assert text.startswith("error: "), text
    assert text.count("\n") == 1, text
    assert text.endswith("\n"), text
    assert done.stdout == b""
    return text.removeprefix("error: ").rstrip("\n")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
