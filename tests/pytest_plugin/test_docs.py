"""The tests that docs/pytest.md shows pass, and its table names the options that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin.options import OPTIONS
from tests.docs.blocks import ROOT, Block, read_blocks
from tests.docs.test_tables import table_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

BLOCKS = [block for block in read_blocks(ROOT / "docs" / "pytest.md") if block.language == "python"]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_tests_of_the_page_pass(block: Block, run: Callable[..., Run]) -> None:
    is_asynchronous = "asyncio" in block.text
    ran = run(
        block.text,
        "--belay-port=virtual:",
        *(["-oasyncio_default_fixture_loop_scope=function"] if is_asynchronous else []),
        plugins=("asyncio",) if is_asynchronous else (),
    )
    outcomes = ran.outcomes
    assert outcomes, ran.stdout
    hardware = outcomes.pop("test_the_radio", None)
    assert hardware is None or hardware.startswith("skipped: belay: no board that fits")
    assert set(outcomes.values()) == {"passed"}, ran.stdout


def test_the_table_of_options() -> None:
    written = [[cell.strip("`").split()[0] for cell in row[:3]] for row in table_rows("pytest.md", "Command line")]
    assert written == [[option.flag, option.variable, option.name] for option in OPTIONS]
