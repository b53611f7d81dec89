"""Two kinds of figures as SVG, which is text and can be read as such: bars on a logarithmic scale, and lines.

They bring their own white ground, so that they look alike on pages that are light and on pages that are dark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 760
_LEFT = 150
_ROW = 20
_COLOURS = ("#00695c", "#c75000", "#3949ab", "#8e24aa", "#6d4c41")


@dataclass(frozen=True)
class Bars:
    """A panel of bars, one a row, all from the same left end; ``marked`` rows are drawn in full colour."""

    title: str
    rows: list[tuple[str, float | None, str]]
    """Label, value, and what stands at the bar's end; a row without a value has only that."""
    marked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lines:
    """A panel of lines through measured points, both scales logarithmic; ``dashed`` ones are what was expected."""

    title: str
    across: str
    up: str
    lines: dict[str, list[tuple[float, float]]]
    dashed: tuple[str, ...] = ()


def draw(panels: list[Bars] | list[Lines], path: Path) -> None:
    """Write the panels, one below the other."""
    parts: list[str] = []
    height = 0.0
    for panel in panels:
        inside, used = _bars(panel) if isinstance(panel, Bars) else _lines(panel)
        parts.append(f'<g transform="translate(0 {height:.0f})">\n' + "\n".join(inside) + "\n</g>")
        height += used
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{WIDTH}" height="{height:.0f}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _text(x: float, y: float, words: str, rest: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {rest}>{escape(words)}</text>'


def _bars(panel: Bars) -> tuple[list[str], float]:
    values = [value for _, value, _ in panel.rows if value]
    parts = [_text(10, 20, panel.title, 'font-weight="bold"')]
    low = math.log10(min(values, default=1)) - 0.3
    span = max(math.log10(max(values, default=1)) - low, 0.1)
    y = 30.0
    for label, value, words in panel.rows:
        parts.append(_text(_LEFT - 8, y + 14, label, 'text-anchor="end"'))
        long = (WIDTH - _LEFT - 150) * (math.log10(value) - low) / span if value else 0
        if value:
            colour = _COLOURS[0] if label in panel.marked else "#90a4ae"
            parts.append(f'<rect x="{_LEFT}" y="{y + 3:.0f}" width="{long:.1f}" height="{_ROW - 6}" fill="{colour}"/>')
        parts.append(_text(_LEFT + long + 6, y + 14, words))
        y += _ROW
    return parts, y + 12


def _ticks(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _shown(value: float) -> str:
    return f"{value:g}" if 1e-4 <= value < 1e6 else f"{value:.0e}"


def _lines(panel: Lines) -> tuple[list[str], float]:
    points = [point for line in panel.lines.values() for point in line]
    across, up = (
        _ticks(min(x for x, _ in points), max(x for x, _ in points)),
        _ticks(min(y for _, y in points), max(y for _, y in points)),
    )
    left, top, wide, high = 80.0, 34.0, 470.0, 240.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            left + wide * math.log10(x / across[0]) / max(math.log10(across[-1] / across[0]), 0.1),
            top + high * (1 - math.log10(y / up[0]) / max(math.log10(up[-1] / up[0]), 0.1)),
        )

    parts = [_text(10, 20, panel.title, 'font-weight="bold"')]
    for tick in across:
        x, _ = place(tick, up[0])
        parts.append(f'<path d="M{x:.1f} {top}v{high}" stroke="#cfd8dc"/>')
        parts.append(_text(x, top + high + 16, _shown(tick), 'text-anchor="middle"'))
    for tick in up:
        _, y = place(across[0], tick)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#cfd8dc"/>')
        parts.append(_text(left - 6, y + 4, _shown(tick), 'text-anchor="end"'))
    parts.append(_text(left + wide / 2, top + high + 34, panel.across, 'text-anchor="middle"'))
    parts.append(_text(left + wide + 14, top + 4, panel.up))
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if name in panel.dashed else ""
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        if name not in panel.dashed:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                for x, y in (place(*point) for point in line)
            ]
        parts.append(_text(left + wide + 14, top + 26 + 18 * number, name, f'fill="{colour}"'))
    return parts, top + high + 50
