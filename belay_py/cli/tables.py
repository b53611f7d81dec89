"""Tables for people; for programs there is ``--json``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NO_WRAPPING = 10_000
"""Columns; a file or a pipe has no width, and rich would take 80."""


def print_table(rows: Iterable[Sequence[str]], header: Sequence[str] | None = None) -> None:
    """Print rows in columns, as wide as they need and wrapped on terminals only."""
    from rich.console import Console  # noqa: PLC0415  40 ms that only tables are worth
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class _Output(Console):
        def on_broken_pipe(self) -> None:
            # rich would exit with 1, which here means that a board's code has raised: see `endings`.
            raise BrokenPipeError

    console = _Output(width=None if sys.stdout.isatty() else _NO_WRAPPING, highlight=False)
    table = Table(*(header or ()), box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        # Text, since rich would read brackets in a plain string as its own markup.
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def print_json(value: object) -> None:
    """Print a value as JSON, indented: both people and programs read it."""
    print(json.dumps(value, indent=2))
