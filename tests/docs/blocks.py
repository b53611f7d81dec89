"""The fenced blocks of the pages, and programs run as a reader would run them. CONTRIBUTING.md has the convention."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

SERVES = "in one terminal"
USES = "in another"
TIMEOUT = 120
"""Seconds for one program: a limit for what hangs, not an expectation."""

_FENCE = re.compile(r'```(?P<language>\w*)(?: title="(?P<title>[^"]*)")?')
_LANGUAGES = {"python", "text", "console", "sh", "toml", "yaml"}


class BadBlock(Exception):
    """A block that the convention does not know."""


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is its fence's, and `touches` tells that nothing stands between it and the last."""

    page: str
    line: int
    language: str
    title: str
    text: str
    touches: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def needs_hardware(self) -> bool:
        """Whether it says that it needs what a test does not have."""
        return self.title.startswith("needs ")


def read_blocks(page: Path) -> list[Block]:
    """Give the blocks of a page in order."""
    return parse_blocks(page.name, page.read_text(encoding="utf-8"))


def parse_blocks(name: str, text: str) -> list[Block]:
    """Give the blocks of a page's text. Raises `BadBlock` for a fence that nothing would ever look at."""
    found: list[Block] = []
    opened: tuple[int, str, str, bool] | None = None
    lines: list[str] = []
    touches = False
    for number, line in enumerate(text.splitlines(), start=1):
        if opened is None and line.startswith("```"):
            match = _FENCE.fullmatch(line)
            if match is None or match["language"] not in _LANGUAGES:
                raise BadBlock(f"{name}:{number}: {line}")
            opened = (number, match["language"], match["title"] or "", touches)
            lines = []
        elif opened is not None and line == "```":
            start, language, title, touched = opened
            found.append(Block(name, start, language, title, "\n".join((*lines, "")), touched))
            opened, touches = None, True
        elif opened is not None:
            lines.append(line)
        elif line:
            touches = False
    if opened is not None:
        raise BadBlock(f"{name}:{opened[0]}: never closed")
    return found


def all_blocks() -> list[Block]:
    """Give the blocks of all pages."""
    return [block for page in PAGES for block in read_blocks(page)]


@dataclass(frozen=True)
class Step:
    """One command of a console block and what is shown below it."""

    command: str
    shown: str


def steps(block: Block) -> list[Step]:
    """Take a console block apart."""
    found: list[Step] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Step(line.removeprefix("$ "), ""))
        elif found:
            found[-1] = Step(found[-1].command, f"{found[-1].shown}{line}\n")
        else:
            raise BadBlock(f"{block}: output before the first command")
    return found


def difference(shown: str, printed: str) -> str:
    """Tell how output differs from what is shown, in which ``...`` stands for anything; empty when it does not."""
    printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    checker = doctest.OutputChecker()
    if checker.check_output(shown, printed, doctest.ELLIPSIS):
        return ""
    return checker.output_difference(doctest.Example("", shown), printed, doctest.ELLIPSIS | doctest.REPORT_NDIFF)


def environment(folder: Path) -> dict[str, str]:
    """Give an environment in which this interpreter's ``belay-py`` and ``mpremote`` are the ones that are found."""
    commands = folder / "commands"
    commands.mkdir(exist_ok=True)
    for name, module in (("belay-py", "belay_py"), ("mpremote", "mpremote")):
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if name not in {"BELAY_PORT", "BELAY_SETTINGS"}}
    return {**kept, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path, "MYPYPATH": str(ROOT)}


def run_python(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a folder, with warnings as errors and nothing on its standard input."""
    return subprocess.run(
        [sys.executable, "-W", "error", program, *arguments],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
