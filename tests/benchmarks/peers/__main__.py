"""belay_py beside the other tools for the raw REPL, and beside the floor. Run by hand, on a machine that does little
else:

    python -m tests.benchmarks.peers [--quick] [--links ...] [--boards ...] [--tools ...] [--output PAGE]

It makes an environment for each tool, once; measures board by board and link by link, by turns; keeps what it has
measured in the user's cache after each link, so that an interrupted run loses one; and writes all that is kept into the
page, with its figures beside it. ``--report`` only does the last.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import targets
from tests.benchmarks.pages import FIGURES, PAGE, keep, kept, replace_part

from . import report
from .boards import BOARDS
from .installs import TOOLS, NotInstalled, installed, python_of
from .links import LINKS, accuracy
from .measuring import Plan, measure, say

QUICK = Plan(size=16384, rounds=5, seconds=0.25, connects=1, transfers=1)


def words(known: dict[str, Any]) -> Any:
    """Make a parser of names with commas between them."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return names

    return parse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="16 KiB, fewer rounds, and no USB model unless asked for")
    parser.add_argument("--links", type=words(LINKS), help=f"of {', '.join(LINKS)} (default: all)")
    parser.add_argument("--boards", type=words(BOARDS), default=["virtual"], help="virtual (the default), pico")
    parser.add_argument("--tools", type=words(TOOLS), default=list(TOOLS), help=f"of {', '.join(TOOLS)} (default: all)")
    parser.add_argument(
        "--output", type=Path, default=PAGE, help="the page to write into (default docs/performance.md)"
    )
    parser.add_argument("--report", action="store_true", help="measure nothing, write what is kept")
    parser.add_argument("--forget", action="store_true", help="forget what is kept first")
    options = parser.parse_args()
    results: dict[str, Any] = {"wires": {}, "installs": {}, "sections": {}}
    if not options.forget:
        results |= kept("peers")
    if not options.report:
        links = options.links or (["direct", "115200"] if options.quick else list(LINKS))
        tools = ["floor", *(name for name in options.tools if name != "floor")]
        for name in tools:
            if TOOLS[name].requirement:
                say(f"the environment of {name}")
                try:
                    results["installs"][name] = installed(python_of(TOOLS[name]))
                except NotInstalled as failure:
                    say(f"  {failure}")
        for name in links:
            if LINKS[name].baudrate:
                results["wires"][name] = accuracy(LINKS[name])
        for board in options.boards:
            # The emulated Pico is slower than the wires, which are left out unless somebody asks for them.
            for name in links if board == "virtual" or options.links else links[:1]:
                say(f"{board}, {name}")
                results["sections"][f"{board} {name}"] = measure(
                    board, LINKS[name], tools, QUICK if options.quick else Plan()
                )
                keep("peers", results)
    if not results["sections"]:
        sys.exit("nothing was measured yet; run this without --report")
    figures = FIGURES if options.output == PAGE else options.output.parent / "figures"
    replace_part(options.output, "peers", report.write(results, figures))
    targets.write(options.output)
    say(f"written to {options.output.name}")


if __name__ == "__main__":
    main()
