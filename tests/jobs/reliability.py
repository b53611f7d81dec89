"""A soak: a manager with many boards behind faulty wires, one fault after the other, and jobs whose runs are counted.

Run by hand: ``python -m tests.jobs.reliability [--seconds N] [--boards N] [--every N]``; see docs/reliability.md. Every
result is compared with what was sent, and the boards count what ran. The exit status is 1 when anything was wrong, when
anything was left at the end, or when memory grew: its median in the last third against that in the middle third.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import resource
import shlex
import signal
import statistics
import sys
from pathlib import Path

from tests.faults.report import write
from tests.jobs.mix import UNTROUBLED, Mix
from tests.manager.fleet import there_is

_PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_ROOM_FOR_CHANCE = 0.02


def grown(mix: Mix) -> dict[str, tuple[float, float]]:
    """The medians of the middle and the last third, by process, in MB."""
    found = {}
    for what, values in mix.memory.items():
        third = len(values) // 3
        if third:
            found[what] = (statistics.median(values[third : 2 * third]), statistics.median(values[2 * third :]))
    return found


def summary(mix: Mix) -> str:
    """All of it, in Markdown."""
    benches = mix.benches.values()
    noisy = sum(bench.integrity for bench in benches)
    counted = sum(bench.checked for bench in benches)
    wrong = len(mix.all_wrong())
    ways = ", ".join(f"{count:,} by {way}" for way, count in mix.ways.most_common())
    sizes = "; ".join(
        f"{what} {middle:.1f} and {last:.1f} MB ({last / middle - 1:+.1%})"
        for what, (middle, last) in grown(mix).items()
    )
    lines = [
        f"{len(benches)} boards, {noisy} of them in the integrity mode, {mix.seconds:,.0f} s: "
        f"{mix.faults.total():,} faults, {mix.ways.total():,} jobs ({ways}), "
        f"{counted:,} pieces of code counted on the boards; {wrong or 'nothing'} wrong, "
        f"{len(mix.left) or 'nothing'} left.",
        f"Memory, medians of the middle and the last third: {sizes}.",
        "",
        "| fault | faults | how jobs that met it ended |",
        "|---|---:|---|",
    ]
    for kind, ends in mix.ends.items():
        listed = ", ".join(f"{end} {count:,}" for end, count in ends.most_common())
        count = f"{mix.faults[kind]:,}" if kind != UNTROUBLED else ""
        lines.append(f"| {kind} | {count} | {listed} |")
    return "\n".join(lines)


def main() -> int:
    """Run it, print the summary, and write it into the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two faults")
    parser.add_argument("--workers", type=int, default=48, help="how many do jobs, one after the other")
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between two jobs of one, on average")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the summary into docs/reliability.md")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("belay_py").setLevel(logging.ERROR)
    before = there_is()
    with asyncio.Runner() as runner:
        soak = Mix(asked.boards, every=asked.every, pause=asked.pause, seed=asked.seed)
        runner.run(_run(soak, asked.seconds, asked.workers))
    gc.collect()
    soak.left += sorted(there_is() - before)
    command = shlex.join(
        ["python", "-m", "tests.jobs.reliability", *(each for each in sys.argv[1:] if each != "--write")]
    )
    text = f"`{command}`: {summary(soak)}"
    sys.stdout.write(f"{text}\n")
    for title, found in (("wrong", soak.all_wrong()), ("left", soak.left)):
        for each in found:
            sys.stderr.write(f"{title}: {each}\n")
    for who, what in (("this process", resource.RUSAGE_SELF), ("boards and wires", resource.RUSAGE_CHILDREN)):
        used = resource.getrusage(what)
        sys.stderr.write(f"{who}: {used.ru_utime + used.ru_stime:.1f} s of CPU\n")
    if asked.write:
        write(_PAGE, "soak", text)
    memory_grew = any(last > middle * (1 + _ROOM_FOR_CHANCE) for middle, last in grown(soak).values())
    return bool(soak.all_wrong() or soak.left or memory_grew)


async def _run(mix: Mix, seconds: float, workers: int) -> None:
    """Let it go on for so long, or until a signal."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, mix.stopped.set)
    loop.call_later(seconds, mix.stopped.set)
    await mix.run(workers)


if __name__ == "__main__":
    sys.exit(main())
