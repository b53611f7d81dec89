"""A board and its session for tests that are no coroutines, since hypothesis calls those once for each example."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from belay_py import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

_T = TypeVar("_T")


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in a folder of this computer."""
    return sorted(each.name for each in folder.iterdir())


class Bench:
    """A session of its own loop. Call `close`."""

    def __init__(self, port: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self.session = DeviceSession(port, **options)
        self.run(self.session.connect())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end."""
        return self._runner.run(work)

    def close(self) -> None:
        """End the session and the loop."""
        self.run(self.session.close())
        self._runner.close()
