"""Owners that are killed, and owners that fight: 50 takeovers after SIGKILL, then half a minute of two for one board.

Run by hand:

    python -m tests.jobs.takeover [--kills 50] [--seconds 30] [--seed 1] [--shared]

The owner leases and uses a real virtual board behind a pseudo-terminal as fast as it goes and is killed at a random
moment; a new process with the same journal takes the board over. ``--shared`` lets the rivals fight without locks, to
see that the board's counter shows it. The exit status is 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path

from belay_py.devices.locks import FOLDER_VARIABLE
from belay_py.journal import read_journal
from belay_py.virtual import VirtualBoardOptions
from tests.conftest import PtyBoard
from tests.manager import takeover

LONGEST_LAG = 1.0  # seconds; a hundred times what the journal rests between two writes


async def kill(port: str, journal: Path, count: int, chance: random.Random) -> bool:
    wrong: list[str] = []
    lags, took, in_a_lease = [], [], 0
    for number in range(count):
        result = await takeover.kill_and_take_over(str(journal), port, chance)
        wrong += [f"kill {number}: {what}" for what in result.wrong()]
        took.append(result.told["took"])
        in_a_lease += bool(result.told["found"] and result.told["found"][0]["leases"])
        lags.append(result.lag if result.told["found"] else float("inf"))
        if lags[-1] > LONGEST_LAG:
            wrong.append(f"kill {number}: the leases in the journal are {lags[-1]:g} s old")
    contents = read_journal(journal)
    states = sorted({contents.state_of(process) for process in contents.processes})
    died = sum(contents.state_of(process) == "died" for process in contents.processes)
    out = sys.stdout.write
    out(f"{count} kills, {in_a_lease} of them with a lease that the journal had as held\n")
    out(f"takeover (opening, handshake, set-up): median {statistics.median(took):.3f} s, longest {max(took):.3f} s\n")
    exact = sum(lag == 0 for lag in lags)
    out(f"leases in the journal: {exact} as at the kill, the others behind by {max(lags) * 1000:.0f} ms at most\n")
    out(f"processes in the journal: {died} died, states {', '.join(states)}\n")
    out(f"sessions still open in it: {sum(each.connected for each in contents.sessions)}\n")
    out(f"wrong: {len(wrong)}\n" + "".join(f"  {what}\n" for what in wrong))
    return not wrong and died == count


async def fight(port: str, seconds: float, *, exclusive: bool) -> bool:
    result = await takeover.fight(port, turns=10**9, seconds=seconds, exclusive=exclusive)
    out = sys.stdout.write
    out(f"a fight of {seconds:g} s: {result.turns} turns, {result.busy} times refused, ")
    out(f"the board counted {result.counter}\n")
    out(f"wrong: {len(result.wrong)}\n" + "".join(f"  {what}\n" for what in result.wrong))
    return not result.wrong and result.counter > 0


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shared", action="store_true")
    arguments = parser.parse_args()
    takeover.LIMIT = 60 + arguments.seconds
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER_VARIABLE] = str(Path(folder, "locks"))
        board = PtyBoard(VirtualBoardOptions(keeps_power=True))
        try:
            chance = random.Random(arguments.seed)
            right = True
            if arguments.kills:
                right = await kill(board.port, Path(folder, "journal"), arguments.kills, chance)
            if arguments.seconds:
                right = await fight(board.port, arguments.seconds, exclusive=not arguments.shared) and right
        finally:
            board.close()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
