"""examples/nightly_logger.py on a Pico, whose timer samples on while the link is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.testing import FaultyWire

from ..docs.test_nightly_logger import Logger
from .conftest import power_on

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_was_sampled_while_nobody_was_there_is_logged(tmp_path: Path) -> None:
    with power_on("v1.25.0") as pico:  # one of its own: the timer goes on
        async with FaultyWire(pico.port, link=tmp_path / "port") as wire:
            logger = Logger(tmp_path, wire.port, operation_timeout=1, max_reconnect_attempts=1)
            async with logger.running():
                await logger.while_away(wire)
                await logger.stop()
            logger.assert_none_lost()
            _, lost, back, _ = (line["at"] for line in logger.lines if "note" in line)
            assert [one for one in logger.samples if lost < one.at < back]
