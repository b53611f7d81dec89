"""Tests against a scripted board run on a virtual clock, so that deadlines take no time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.testing import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_ON_A_VIRTUAL_CLOCK = {"test_attaching_by_script.py", "test_faults.py", "test_guarded.py", "test_detect_by_script.py"}


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of each test."""
    if item.path.name in _ON_A_VIRTUAL_CLOCK:
        return {"virtual": VirtualClock}
    return {"real": asyncio.new_event_loop}
