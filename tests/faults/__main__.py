"""Run a campaign by hand: ``python -m tests.faults --board virtual``; see docs/reliability.md."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from random import Random

from . import benches
from .campaign import run
from .conversations import BY_NAME
from .judging import BREAKS, NOISE, Judge
from .report import Report, write

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def main() -> int:
    """Run it, print the table, and write it into the page if that is asked for; 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Faults at every byte.")
    parser.add_argument("--board", choices=list(benches.LIMITS), default="scripted")
    parser.add_argument("--boards", type=int, default=6, help="how many at once; 1 by script")
    parser.add_argument("--kinds", nargs="+", choices=[*BREAKS, *NOISE], default=[*BREAKS, *NOISE])
    parser.add_argument("--conversations", nargs="+", choices=list(BY_NAME), default=list(BY_NAME))
    parser.add_argument("--sample", type=int, help="so many faults of all, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--baudrate", type=int, help="of the wire; without it bytes take no time")
    parser.add_argument("--integrity", action="store_true", help="with communication.integrity; not by script")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    asked = parser.parse_args()
    report = Report(Judge(integrity=asked.integrity))
    with benches.runner(asked.board) as runner:
        runner.run(_run(asked, report))
    for failure in report.failures:
        sys.stderr.write(f"{failure}\n")
    command = shlex.join(["python", "-m", "tests.faults", *(each for each in sys.argv[1:] if each != "--write")])
    text = f"`{command}`: {report.summary()}\n\n{report.table()}"
    sys.stdout.write(f"{text}\n")
    if asked.write:
        write(_PAGE, asked.board + " with integrity" * asked.integrity, text)
    return bool(report.failures or report.grown)


async def _run(asked: argparse.Namespace, report: Report) -> None:
    count = 1 if asked.board == "scripted" else asked.boards
    async with benches.opened(asked.board, count, report, baudrate=asked.baudrate, integrity=asked.integrity) as opened:
        conversations = [BY_NAME[name] for name in asked.conversations]
        await run(opened, report, conversations, asked.kinds, sample=asked.sample, chance=Random(asked.seed))


sys.exit(main())
