"""One board and one link: every tool with a board of its own at the end of a wire of its own, measured by turns.

All boards of a round are alike and idle but one, so that nothing of one tool is left for another, and what else the
machine does falls on all alike. A tool that fails at something gets a new process and goes on with the rest.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .boards import BOARDS
from .installs import TOOLS, NotInstalled, python_of
from .links import connected
from .processes import DoesNotRun, Process

if TYPE_CHECKING:
    from .installs import Tool
    from .links import Link

OURS = ("floor", "belay_py", "blocking")
EXECUTING_ONLY = ("plain",)
"""A marker makes no difference to a file."""
CODE = "pass"


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    size: int = 65536
    """Bytes of the files."""
    rounds: int = 7
    """Blocks of executions of each tool."""
    seconds: float = 0.3
    """What a block takes, if it has not done the most of it before."""
    most: int = 1000
    connects: int = 3
    transfers: int = 3
    """How often the floor and belay_py move each file; the others do it once, since they take so long."""


@dataclass
class Seat:
    """One tool's place: its board, its process, what was measured, and what failed."""

    tool: Tool
    port: str
    link: Link
    process: Process | None = None
    taken: dict[str, list[Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, value: Any) -> None:
        self.taken.setdefault(what, []).append(value)

    def connect(self) -> dict[str, Any] | None:
        """Connect with a process that has just begun, or has closed."""
        try:
            self.process = self.process or Process(self.tool, self.port, self.link)
            return self.process.order("connect", timeout=30)
        except (DoesNotRun, NotInstalled) as failure:
            self.fails("connect", failure)
        return None

    def fails(self, what: str, failure: Exception) -> None:
        say(f"    {self.tool.title}: {failure}")
        self.failed.setdefault(what, str(failure))
        if self.process is not None:
            self.process.close()
            self.process = None

    def order(self, label: str, what: str, **rest: Any) -> dict[str, Any] | None:
        """Have the tool do one thing, connecting it where it is not; None where it fails, now or before."""
        if label in self.failed or (self.process is None and ("connect" in self.failed or not self.connect())):
            return None
        assert self.process is not None
        try:
            return self.process.order(what, **rest)
        except DoesNotRun as failure:
            self.fails(label, failure)
            return None


def say(line: str) -> None:
    """Write a line of the log."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def measure(board: str, link: Link, tools: list[str], plan: Plan) -> dict[str, Any]:
    """Measure tools on boards of one kind, over links of one kind; give what a report is made of."""
    with ExitStack() as stack:
        seats = []
        for name in tools:
            try:
                python_of(TOOLS[name])
            except NotInstalled as failure:
                say(f"  {name} is not installed: {failure}")
                seats.append(Seat(TOOLS[name], "", link, failed={"connect": f"not installed: {failure}"}))
                continue
            port = stack.enter_context(connected(link, stack.enter_context(BOARDS[board](link))))
            seats.append(Seat(TOOLS[name], port, link))
        stack.callback(_end, seats)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="belay_py-")))
        _connects(seats, plan)
        _executions(seats, plan)
        for file in _files(folder, plan.size):
            _transfers([seat for seat in seats if seat.tool.name not in EXECUTING_ONLY], file, plan)
    return {
        "board": board, "link": link.name, "size": plan.size,
        "tools": {seat.tool.name: {**seat.taken, "failed": seat.failed} for seat in seats},
    }  # fmt: skip


def _end(seats: list[Seat]) -> None:
    for seat in seats:
        if seat.process is not None:
            seat.process.close()


def _connects(seats: list[Seat], plan: Plan) -> None:
    say(f"  connecting, {plan.connects} times")
    for number in range(plan.connects + 1):
        for seat in seats:
            if number:
                seat.order("connect", "close")
            answer = None if "connect" in seat.failed else seat.connect()
            if number and answer:  # in the first round modules are imported
                seat.note("connect", answer["seconds"])
                seat.note("connect cpu", answer["cpu"])
                seat.note("connect said", answer["said"])


def _executions(seats: list[Seat], plan: Plan) -> None:
    say(f"  executing, {plan.rounds} blocks")
    for number in range(plan.rounds + 1):
        for seat in seats:
            # The first round warms everything up.
            seconds = plan.seconds if number else 0.1
            answer = seat.order("execute", "execute", code=CODE, seconds=seconds, most=plan.most)
            if answer and number:
                seat.note("execute", answer["times"])
                seat.note("execute cpu", answer["cpu"] / len(answer["times"]))


def _files(folder: Path, size: int) -> list[Path]:
    """Bytes without any order, and a text: the source of a module of Python's own library."""
    files = [folder / "random.bin", folder / "text.txt"]
    files[0].write_bytes(random.Random(6).randbytes(size))
    text = Path(inspect.getfile(statistics)).parent.joinpath("argparse.py").read_bytes()
    files[1].write_bytes(text[:size])
    return files


def _transfers(seats: list[Seat], file: Path, plan: Plan) -> None:
    kind, digest = file.stem, hashlib.sha256(file.read_bytes()).hexdigest()
    back = file.with_name("back")
    patience = 10 + plan.size / 1000  # twice what the slowest takes at 115,200 baud
    for number in range(plan.transfers):
        for seat in seats:
            if number and seat.tool.name not in OURS:
                continue
            put = seat.order(f"put {kind}", "put", file=str(file), name=file.name, timeout=patience)
            found = seat.order(f"put {kind}", "hash", name=file.name) if put else None
            if put and found:
                if found["hash"] != digest:
                    seat.fails(f"put {kind}", DoesNotRun("what came to the board is not what was sent"))
                    continue
                seat.note(f"put {kind}", put["seconds"])
                seat.note(f"put {kind} cpu", put["cpu"])
            back.unlink(missing_ok=True)
            got = seat.order(f"get {kind}", "get", file=str(back), name=file.name, timeout=patience)
            if got:
                if hashlib.sha256(back.read_bytes()).hexdigest() != digest:
                    seat.fails(f"get {kind}", DoesNotRun("what came from the board is not what is on it"))
                    continue
                seat.note(f"get {kind}", got["seconds"])
                seat.note(f"get {kind} cpu", got["cpu"])
            say(f"    {kind} {seat.tool.title}: put {_shown(put)}, get {_shown(got)}")


def _shown(answer: dict[str, Any] | None) -> str:
    return f"{answer['seconds']:.3f} s" if answer else "failed"
