"""Tables and figures of what was measured."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from tests.benchmarks.figures import Bars, draw
from tests.benchmarks.pages import machine, table

from .boards import TITLES
from .installs import TOOLS
from .links import LINKS
from .measuring import EXECUTING_ONLY

if TYPE_CHECKING:
    from pathlib import Path

_REASON = 100  # characters of what a tool says when it fails
MOVES = ("put random", "get random", "put text", "get text")


def median(values: list[float]) -> float:
    """The median, as a number that arithmetic keeps."""
    return float(statistics.median(values))


def ratio(tool: dict[str, Any], floor: dict[str, Any], what: str) -> float | None:
    """The median of a tool's times by the floor's of the same round; a list of times counts by its median."""
    mine, least = tool.get(what), floor.get(what)
    if not mine or not least:
        return None
    if isinstance(mine[0], list):
        mine, least = [median(times) for times in mine], [median(times) for times in least]
    # The floor moves a file more often than those who take long; what has no partner is compared with them all.
    if len(mine) != len(least):
        return median(mine) / median(least)
    return median([one / bare for one, bare in zip(mine, least, strict=True)])


def _times(value: float | None) -> str:
    return "" if value is None else f" ({value:.2f} x)" if value < 10 else f" ({value:.0f} x)"


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _executions(sections: list[dict[str, Any]]) -> str:
    parts = []
    for section in sections:
        floor = section["tools"].get("floor", {})
        rows = []
        for name, tool in section["tools"].items():
            blocks = tool.get("execute")
            if not blocks:
                rows.append([TOOLS[name].title, "failed", "", "", ""])
                continue
            times = sorted(time for block in blocks for time in block)
            rows.append([
                TOOLS[name].title, f"{median(times) * 1e3:.3f}", f"{times[int(len(times) * 0.99)] * 1e3:.3f}",
                f"{ratio(tool, floor, 'execute') or 0:.2f} x", f"{median(tool['execute cpu']) * 1e6:.0f}",
            ])  # fmt: skip
        parts.append(f"*{TITLES[section['board']]}, {LINKS[section['link']].title}*\n\n" + table(
            ["", "p50, ms", "p99, ms", "by the floor", "CPU, µs"], rows))  # fmt: skip
    return "\n\n".join(parts)


def _connects(sections: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for section in sections for name in section["tools"]))
    rows = []
    for name in names:
        row = [TOOLS[name].title]
        for section in sections:
            times = section["tools"].get(name, {}).get("connect")
            row.append(f"{median(times) * 1e3:.1f}" if times else "failed")
        rows.append(row)
    head = [f"{section['board']}, {section['link']}" for section in sections]
    return table(["milliseconds", *head], rows)


def _transfers(sections: list[dict[str, Any]]) -> str:
    parts = []
    for section in sections:
        floor = section["tools"].get("floor", {})
        rows = []
        for name, tool in section["tools"].items():
            if name in EXECUTING_ONLY:
                continue
            row = [TOOLS[name].title]
            for move in MOVES:
                times = tool.get(move)
                row.append(f"{_seconds(median(times))}{_times(ratio(tool, floor, move))}" if times else "failed")
            busy = [median(tool[f"{move} cpu"]) for move in MOVES if f"{move} cpu" in tool]
            rows.append([*row, f"{sum(busy):.2f}" if len(busy) == len(MOVES) else ""])
        size = f"{section['size'] // 1024} KiB"
        firsts = section["tools"].get("belay_py", {}).get("put random", [])
        first = (
            f"\n\nThe first put of belay_py, which sends code of its own to the board as well: {_seconds(firsts[0])} s."
            if len(firsts) > 1
            else ""
        )
        parts.append(f"*{size}, {TITLES[section['board']]}, {LINKS[section['link']].title}*\n\n" + table(
            ["seconds", *MOVES, "CPU s, all four"], rows) + first)  # fmt: skip
    return "\n\n".join(parts)


def _failures(sections: list[dict[str, Any]]) -> str:
    told: dict[tuple[str, str], list[str]] = {}
    for section in sections:
        for name, tool in section["tools"].items():
            for reason in tool["failed"].values():
                told.setdefault((TOOLS[name].title, reason), []).append(f"{section['board']}, {section['link']}")
    lines = [
        f"- {name} ({'; '.join(dict.fromkeys(where))}): `{reason.replace('`', chr(39))[:_REASON]}`"
        for (name, reason), where in told.items()
    ]
    return "What failed, with the reason that the tool gave:\n\n" + "\n".join(lines) if lines else "Nothing failed."


def write(results: dict[str, Any], figures: Path) -> str:
    """Draw the figures; give the page's part."""
    sections = list(results["sections"].values())
    wires = [
        [LINKS[name].title, *(f"{middle:.3f} ({least:.3f})" for middle, least in found.values())]
        for name, found in results["wires"].items()
    ]
    installs = [
        [TOOLS[name].title, TOOLS[name].requirement.partition("==")[2], f"{found['distributions']:.0f}",
         f"{found['megabytes']:.1f}"]
        for name, found in results["installs"].items()
    ]  # fmt: skip
    shown = figures.name
    _draw(sections, figures)
    return "\n\n".join([
        f"Measured with: {machine()}.",
        "How far the paced wires are from their models (the time of a transfer by `10 * bytes / baudrate + latency`), "
        "median and least:",
        table(["", "1 byte", "128 bytes", "4096 bytes"], wires),
        "### One execution", f"![Execution of `pass`]({shown}/execute.svg)", _executions(sections),
        "### A file there and back", f"![Transfers]({shown}/transfers.svg)", _transfers(sections),
        "### Connecting", _connects(sections),
        "### What they are", table(["", "version", "distributions", "MB"], installs), _failures(sections),
    ])  # fmt: skip


def _draw(sections: list[dict[str, Any]], figures: Path) -> None:
    figures.mkdir(exist_ok=True)
    marked = (TOOLS["belay_py"].title, TOOLS["blocking"].title)
    panels = []
    for section in sections:
        rows = []
        for name, tool in section["tools"].items():
            value = median([time for block in tool["execute"] for time in block]) if "execute" in tool else None
            rows.append((TOOLS[name].title, value, f"{value * 1e3:.3f} ms" if value else "failed"))
        title = f"execute('pass'): {TITLES[section['board']]}, {LINKS[section['link']].title}"
        panels.append(Bars(title, rows, marked))
    draw(panels, figures / "execute.svg")
    panels = []
    for section in sections:
        if section["board"] != "virtual" or section["link"] == "direct":
            continue
        for move in ("put random", "put text", "get random"):
            rows = []
            for name, tool in section["tools"].items():
                if name in EXECUTING_ONLY:
                    continue
                value = median(tool[move]) if move in tool else None
                rows.append((TOOLS[name].title, value, f"{_seconds(value)} s" if value else "failed"))
            panels.append(Bars(f"{move}, {section['size'] // 1024} KiB: {LINKS[section['link']].title}", rows, marked))
    draw(panels, figures / "transfers.svg")
