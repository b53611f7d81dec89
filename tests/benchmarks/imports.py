"""How long imports take, in new interpreters, and what a core install brings.

Run by hand: ``python -m tests.benchmarks.imports [--rounds N] [--write]``.

Every import runs in an interpreter of its own, its files in the system's cache by then; bare interpreters run between
them, and a figure is the median, over the rounds, of the time over the bare one's of the same round. belay and pyserial
stand beside it where ``tests.benchmarks.peers`` has made their environments. The size of a core install is what pip
installs into an empty environment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import targets
from .pages import PAGE, keep, machine, replace_part, table
from .peers.installs import TOOLS, NotInstalled, Tool, environment_of, installed, python_of

ROOT = Path(__file__).parents[2]
CORE = Tool("core", "belay_py", "", str(ROOT))
OURS = {
    "`import belay_py`": "import belay_py",
    "`from belay_py import DeviceSession`": "from belay_py import DeviceSession",
    "`from belay_py.sync import DeviceSession`": "from belay_py.sync import DeviceSession",
    "`from belay_py import DeviceSessionManager`": "from belay_py import DeviceSessionManager",
    "`from belay_py import load_settings`": "from belay_py import load_settings",
    "`import asyncio`, for comparison": "import asyncio",
    "`import serial`, for comparison": "import serial",
}


def seconds(python: str, statement: str, environment: dict[str, str]) -> float:
    """Start an interpreter and end it."""
    start = time.perf_counter()
    subprocess.run([python, "-c", statement], check=True, cwd=ROOT, env=environment)
    return time.perf_counter() - start


def compiling_once(folder: str) -> dict[str, str]:
    """An environment in which modules are compiled once, as installed ones are, and not into this source tree."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": folder}


def sizes() -> list[list[str]]:
    """What pip brings for us and for belay, without pip itself."""
    rows = []
    shutil.rmtree(environment_of(CORE), ignore_errors=True)  # of another day
    for tool in (CORE, TOOLS["belay"]):
        try:
            found = installed(python_of(tool))
        except NotInstalled as failure:
            rows.append([tool.title, f"{failure}", ""])
        else:
            rows.append([tool.title, f"{found['distributions']:.0f}", f"{found['megabytes']:.1f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="rounds of interleaved imports (default 21)")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/performance.md")
    options = parser.parse_args()
    ways = {name: (sys.executable, statement) for name, statement in OURS.items()}
    for name in ("belay", "mpremote"):
        if environment_of(TOOLS[name]).joinpath("installed").exists():
            statement = "import belay" if name == "belay" else "import mpremote.transport_serial"
            ways[f"`{statement}`"] = (python_of(TOOLS[name]), statement)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    shortest: dict[str, float] = {}
    bare: list[float] = []
    with tempfile.TemporaryDirectory(prefix="belay_py-") as folder:
        environment = compiling_once(folder)
        for number in range(options.rounds + 1):
            for name, (python, statement) in ways.items():
                least = seconds(python, "pass", environment)
                took = seconds(python, statement, environment)
                if number:  # the first round compiles and fills the system's cache
                    taken[name].append((took - least) * 1e3)
                    shortest[name] = min(shortest.get(name, took), took)
                    bare.append(least * 1e3)
    rows = [
        ["a bare interpreter, which the others do not include", f"{statistics.median(bare):.1f}", f"{min(bare):.1f}"]
    ]
    rows += [
        [name, f"{statistics.median(times):.1f}", f"{shortest[name] * 1e3 - min(bare):.1f}"]
        for name, times in taken.items()
    ]
    core = sizes()
    text = "\n\n".join([
        f"Measured with: {machine()}; {options.rounds} rounds.",
        table(["milliseconds", "median", "least"], rows),
        table(["a core install", "distributions", "MB"], core),
    ])  # fmt: skip
    sys.stdout.write(text + "\n")
    if options.write:
        keep("imports", {
            "package": statistics.median(taken["`import belay_py`"]),
            "session": statistics.median(taken["`from belay_py import DeviceSession`"]),
            "distributions": core[0][1],
        })  # fmt: skip
        replace_part(PAGE, "imports", text)
        targets.write(PAGE)


if __name__ == "__main__":
    main()
