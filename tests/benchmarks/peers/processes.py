"""The measuring side of a tool's process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .installs import python_of

if TYPE_CHECKING:
    from .installs import Tool
    from .links import Link

ROOT = Path(__file__).parents[3]


class DoesNotRun(Exception):
    """A tool did not do what it was told; the message is the reason that the report gives."""


class Process:
    """One tool on one port. Every order raises `DoesNotRun` when the tool fails, ends, or takes too long."""

    def __init__(self, tool: Tool, port: str, link: Link) -> None:
        self.tool = tool
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed in close
        self._child = subprocess.Popen(
            [
                python_of(tool), "-m", "tests.benchmarks.peers.worker",
                tool.driver, port, str(link.baudrate or 115_200), str(link.loses),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def order(self, what: str, *, timeout: float = 60.0, **rest: Any) -> dict[str, Any]:
        """Have it do one thing; give what it answers."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps({"do": what, **rest}) + "\n")
            self._child.stdin.flush()
        except OSError as error:
            raise DoesNotRun(f"{what}: its process has ended: {self._last_words()}") from error
        readable, _, _ = select.select([self._child.stdout], [], [], timeout)
        if not readable:
            self._child.kill()
            raise DoesNotRun(f"{what}: no end within {timeout:.0f} s")
        line = self._child.stdout.readline()
        if not line:
            raise DoesNotRun(f"{what}: its process has ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DoesNotRun(f"{what}: {' '.join(answer['error'].split())[:200]}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.close()
            self._child.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        self._words.close()

    def _last_words(self) -> str:
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"
