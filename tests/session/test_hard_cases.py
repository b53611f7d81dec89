"""The hard cases on the virtual board, by its URL and through a pty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py.virtual import BoardProcess, VirtualBoardOptions, open_board

from ..conftest import PtyBoard
from . import hard_cases

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

AS_LARGE_AS_A_PICO = 256 << 10


@pytest.fixture(scope="module", params=["direct", "pty"])
def small_port(request: pytest.FixtureRequest) -> Iterator[str]:
    """A board with a heap of a Pico's size, for cases that fill it."""
    board: BoardProcess | PtyBoard
    if request.param == "pty":
        board = PtyBoard(VirtualBoardOptions(memory=AS_LARGE_AS_A_PICO))
    else:
        board = open_board(f"virtual:hard-cases?memory={AS_LARGE_AS_A_PICO}")
    yield board.port
    board.close()


@pytest.mark.parametrize("case", hard_cases.CASES, ids=lambda case: case.__name__)
async def test_hard_case(small_port: str, case: Callable[[str], Awaitable[None]]) -> None:
    await case(small_port)
