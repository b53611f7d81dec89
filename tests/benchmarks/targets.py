"""The targets of the design beside what the commands measured last; every command that writes refreshes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .pages import kept, replace_part, table
from .peers.links import LINKS
from .peers.report import median, ratio

if TYPE_CHECKING:
    from pathlib import Path


def _row(what: str, limit: float, unit: str, seen: float | None) -> list[str]:
    if seen is None:
        return [what, f"{limit:g}{unit}", "not measured yet", ""]
    return [what, f"{limit:g}{unit}", f"{seen:.2f}{unit}", "met" if seen <= limit else "**missed**"]


def _by_the_floor(link: str, what: str, size: int = 0) -> float | None:
    section: dict[str, Any] = kept("peers").get("sections", {}).get(f"virtual {link}", {})
    if not section or section["size"] < size:
        return None
    tools = section["tools"]
    return ratio(tools.get("belay_py", {}), tools.get("floor", {}), what)


def _connecting(link: str) -> list[str]:
    """Two round trips, the time of the bytes that the session counted, and 10 ms."""
    what = f"connect, {LINKS[link].title}: two round trips, the bytes' time on the wire, and 10 ms"
    section: dict[str, Any] = kept("peers").get("sections", {}).get(f"virtual {link}", {})
    ours = section.get("tools", {}).get("belay_py", {})
    if not ours.get("connect said"):
        return [what, "", "not measured yet", ""]
    wire = LINKS[link]
    on_the_wire = 10 * median(ours["connect said"]) / wire.baudrate if wire.baudrate else 0.0
    return _row(what, round((4 * wire.latency + on_the_wire + 0.01) * 1e3, 1), " ms", median(ours["connect"]) * 1e3)


def write(page: Path) -> None:
    """Refresh the page's table."""
    hot, imports = kept("hot path"), kept("imports")
    distributions = imports.get("distributions", "")
    rows = [
        _row("`execute('pass')`, direct, a board that answers at once", 1.8, " x floor", hot.get("direct")),
        _row("the same by the blocking face, more than async", 60, " µs", hot.get("blocking")),
        _row("the same, USB model", 1.1, " x floor", _by_the_floor("usb", "execute")),
        _row("the same, 115,200 baud", 1.06, " x floor", _by_the_floor("115200", "execute")),
        _row("put of 64 KiB, random, 115,200 baud", 1.08, " x floor", _by_the_floor("115200", "put random", 65536)),
        _row("put of 64 KiB, text, 115,200 baud", 1.15, " x the deflate floor",
             _by_the_floor("115200", "put text", 65536)),
        _row("get of 64 KiB, random, 115,200 baud", 1.03, " x floor", _by_the_floor("115200", "get random", 65536)),
        _row("connect, direct, a board that answers at once", 10, " ms", hot.get("connect")),
        _connecting("115200"),
        _row("lease and release, warm", 5, " µs", hot.get("lease")),
        _row("`import belay_py`", 80, " ms", imports.get("package")),
        _row("`from belay_py import DeviceSession`", 150, " ms", imports.get("session")),
        _row("distributions of a core install", 12, "", float(distributions) if distributions.isdigit() else None),
    ]  # fmt: skip
    replace_part(page, "targets", table(["what", "target, at most", "seen", ""], rows))
