"""The fixture `pico_port`: a serial port with a real Pico firmware behind it, once per version and test session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import artifacts
from .board import BoardDidNotBoot, PicoBoard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Called with the whole session's items, whichever conftest it stands in.
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.firmware)


def power_on(version: str, wires: Iterable[tuple[int, int]] = ()) -> PicoBoard:
    """Give a running board; skip the test where there can be none."""
    try:
        return PicoBoard(artifacts.fetch(version), wires=wires)
    except (artifacts.ArtifactsUnavailable, BoardDidNotBoot) as error:
        # On a gate, a skip would look like a pass. A board that has everything and does not boot is a fault anywhere.
        must_run = os.environ.get("CI") or os.environ.get("BELAY_REQUIRE_FIRMWARE")
        if must_run or isinstance(error, BoardDidNotBoot):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=list(artifacts.IMAGES))
def pico_board(request: pytest.FixtureRequest) -> Iterator[PicoBoard]:
    """Give a running board; a test leaves it as it found it, or at least in step, for it is shared."""
    with power_on(request.param) as board:
        yield board


@pytest.fixture(scope="session")
def pico_port(pico_board: PicoBoard) -> str:
    """Give the path of a pty on which an official Pico firmware speaks its REPL."""
    return pico_board.port
