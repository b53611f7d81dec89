"""What became of all faults: counted, and written as a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from .conversations import WrongEnd
    from .judging import Fault, Judge, Kind

NOT_REACHED: Final = "not reached"
"""The conversation had ended, or its deadline had passed, before the byte came: not counted as a fault."""
FAILED: Final = "**failed**"


class Report:
    """The ends of all faults of one campaign."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.ends: dict[tuple[str, Kind], Counter[str]] = {}
        self.failures: list[str] = []
        self.grown: list[str] = []
        """What there was more of afterwards: descriptors, tasks, threads."""

    def count(self, fault: Fault, end: str) -> None:
        """Note how one ended."""
        self.ends.setdefault((fault.conversation.name, fault.kind), Counter())[end] += 1

    def fail(self, fault: Fault, wrong: WrongEnd) -> str:
        """Note one that ended as it must not; return what that is called."""
        self.failures.append(f"{fault}: {wrong}")
        return FAILED

    @property
    def total(self) -> int:
        """How many faults happened."""
        return sum(_happened(counter) for counter in self.ends.values())

    def table(self) -> str:
        """All of it, in Markdown."""
        lines = ["| conversation | fault | faults | how they ended |", "|---|---|---:|---|"]
        for (name, kind), counter in self.ends.items():
            ends = ", ".join(f"{end} {count:,}" for end, count in counter.most_common())
            lines.append(f"| {name} | {kind} | {_happened(counter):,} | {ends} |")
        return "\n".join(lines)

    def summary(self) -> str:
        """One sentence."""
        grown = "no descriptor, task or thread more than before" if not self.grown else ", ".join(self.grown)
        return f"{self.total:,} faults, {len(self.failures)} failures; {grown}."


def _happened(counter: Counter[str]) -> int:
    return counter.total() - counter[NOT_REACHED]


def write(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the markers of that name in a page. Raises ValueError when they are not there."""
    begin, end = f"<!-- faults: {name} -->\n", "<!-- end of faults -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} has no place for the table of {name}")
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
