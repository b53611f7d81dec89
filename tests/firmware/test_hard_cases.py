"""The hard cases on the official Pico firmware."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.session import hard_cases

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize("case", [*hard_cases.CASES, *hard_cases.TIMER_CASES], ids=lambda case: case.__name__)
async def test_hard_case(pico_port: str, case: Callable[[str], Awaitable[None]]) -> None:
    await case(pico_port)
