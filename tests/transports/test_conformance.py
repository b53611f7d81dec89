"""Every transport keeps every promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.transports.conformance import CHECKS, Link, check
from tests.transports.links import LINKS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize("promise", CHECKS, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
async def test_transport(link: Link, promise: Callable[[Link], Awaitable[None]]) -> None:
    await check(link, promise)
