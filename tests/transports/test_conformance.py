"""Every transport keeps every promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.transports.conformance import CHECKS, Link, check, what_is_written_right_before_abort_arrives
from tests.transports.links import LINKS, process_pty_link

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize("promise", CHECKS, ids=lambda promise: promise.__name__)
@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
async def test_transport(link: Link, promise: Callable[[Link], Awaitable[None]]) -> None:
    if link is process_pty_link and promise is what_is_written_right_before_abort_arrives:
        pytest.skip("a closed terminal drops what its program has not read yet, and nothing tells how much that is")
    await check(link, promise)
