"""The suite of examples/soil_sensor: each of its tests, on a virtual board and on one that only has a port."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run, Served

SUITE = Path(__file__).parents[2] / "examples" / "soil_sensor"

ANYWHERE = {
    *(f"test_calibration[{case}]" for case in ("65535-0", "52000-0", "36500-50", "21000-100", "0-100")),
    "test_what_reads_lower_is_wetter",
    "test_the_alarm_does_not_flutter",
    "test_a_probe_that_is_not_there",
}
"""What needs nothing but a board."""
ENDS = {"test_moisture[65535-0]", "test_moisture[0-100]", "test_it_asks_for_water_until_there_is_enough"}
"""What needs the ends of the analogue scale."""
BETWEEN = "test_moisture[36500-50]"
AT_REST = "test_a_level_at_rest_is_read_at_rest"


Start = Callable[..., Run]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    """The suite in a folder of its own, as somebody who has copied it would have it."""
    folder = pytester.path / "soil_sensor"
    shutil.copytree(SUITE, folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def run_suite(run: Start, suite: Path, *arguments: str) -> Run:
    """Run it, with warnings as errors."""
    return run("", "-W", "error", suite, *arguments)


def test_on_a_virtual_board(run: Start, suite: Path) -> None:
    result = run_suite(run, suite, "--belay-port", "virtual:")
    outcomes = result.outcomes
    assert "is a virtual board" in outcomes.pop(AT_REST)
    assert outcomes == dict.fromkeys(ANYWHERE | ENDS | {BETWEEN}, "passed"), result.stdout


def test_on_a_board_with_nothing_wired_to_it(run: Start, suite: Path, serve: Callable[[int], list[Served]]) -> None:
    [board] = serve(1)
    result = run_suite(run, suite, "--belay-port", board.port)
    outcomes = result.outcomes
    for name in (*ENDS, BETWEEN, AT_REST):
        assert f"nothing is known to be wired to {board.port}" in outcomes.pop(name)
    assert outcomes == dict.fromkeys(ANYWHERE, "passed"), result.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "failing"),
    [
        ("self.state = True", "pass", "test_the_alarm_does_not_flutter"),
        ("min(100.0, ", "max(0.0, ", "test_calibration[0-100]"),
        ("self._power.off()", "pass", "test_a_probe_that_is_not_there"),
        ("return self.percent(self.read())", "return self.percent(0)", "test_moisture[65535-0]"),
    ],
)
def test_a_driver_with_a_bug_fails(run: Start, suite: Path, right: str, wrong: str, failing: str) -> None:
    driver = suite / "soil_sensor.py"
    text = driver.read_text(encoding="utf-8")
    assert right in text
    driver.write_text(text.replace(right, wrong), encoding="utf-8")
    outcomes = run_suite(run, suite, "--belay-port", "virtual:").outcomes
    assert outcomes[failing].startswith("failure")
