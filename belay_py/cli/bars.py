"""Bars that show how far a transfer is: on standard error, and on terminals only."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bars() -> Iterator[Callable[[str], Callable[[int, int | None], None] | None]]:
    """Give a function that begins a bar of some name, and returns what is called with the bytes done and in all."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  40 ms that only terminals are worth
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # The name through a Text, since rich would read brackets in a plain string as its own markup.
    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True, highlight=False)) as progress:

        def begin(name: str) -> Callable[[int, int | None], None]:
            task = progress.add_task(str(Text(name)), total=None)

            def tell(done: int, total: int | None) -> None:
                progress.update(task, completed=done, total=total)

            return tell

        yield begin
