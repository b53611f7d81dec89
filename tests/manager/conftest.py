"""Modules that say ``ON_A_VIRTUAL_CLOCK = True`` run against boards by script, and their waiting takes no time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.testing import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of each test."""
    if getattr(item, "module", None) is not None and getattr(item.module, "ON_A_VIRTUAL_CLOCK", False):  # type: ignore[attr-defined]  # items of modules have one
        return {"virtual": VirtualClock}
    return {"real": asyncio.new_event_loop}
