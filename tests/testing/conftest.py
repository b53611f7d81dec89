"""The tests of the clock run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.testing import VirtualClock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of each test."""
    return {"virtual": VirtualClock}
