"""A fleet of virtual boards in one manager, under tasks that lease them, are cancelled, and kill them.

Run by hand: ``python -m tests.jobs.fleet [--boards N] [--tasks N] [--seconds N] [--seed N]``. A board's process takes
about 40 MB. The exit status is 1 when a result was not what was sent, or anything was left at the end.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests.manager.fleet import Size, run

if TYPE_CHECKING:
    from collections.abc import Mapping


def listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1])) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the tasks begin new jobs (default 20)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)8d ms  %(message)s")
    report = run(Size(options.boards, options.tasks, jobs=None, seconds=options.seconds, seed=options.seed))
    kinds: Counter[str] = Counter()
    for name, count in report.done.items():
        kinds[name.partition(", ")[0]] += count
    rate = report.done.total() / report.seconds
    used = resource.getrusage(resource.RUSAGE_SELF)
    out = sys.stdout.write
    out(f"{options.boards} boards, {options.tasks} tasks, {report.seconds:.1f} s\n")
    out(f"done       {report.done.total()} jobs, {rate:.0f} a second: {listed(kinds)}\n")
    out(f"killed     {listed(report.killed)}\n")
    out(f"cancelled  {report.cancelled}\n")
    out(f"errors     {listed(report.errors)}\n")
    out(f"this process: {used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss / 1024:.0f} MB at most\n")
    out(f"wrong      {report.wrong or 'nothing'}\n")
    out(f"left       {report.left or 'nothing'}\n")
    sys.exit(1 if report.wrong or report.left else 0)


if __name__ == "__main__":
    main()
