"""The tests that docs/pytest.md shows pass, and its table names the options that there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from belay_py.pytest_plugin.options import OPTIONS
from tests.docs.blocks import ROOT, Block, read_blocks
from tests.docs.test_tables import table_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

PAGE = ROOT / "docs" / "pytest.md"
BLOCKS = [block for block in read_blocks(PAGE) if block.language == "python"]


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


def test_the_jobs_of_the_page_have_steps_and_options_that_there_are() -> None:
    [block] = (block for block in read_blocks(PAGE) if block.language == "yaml")
    jobs = yaml.safe_load(block.text)["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert sum("pytest --belay" in command for command in commands) == 2
    assert set(re.findall(r"--belay-[a-z-]+", PAGE.read_text())) <= {option.flag for option in OPTIONS}
