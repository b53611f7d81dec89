"""The suite of examples/soil_sensor on a Pico with its wires, which is a real board as far as the plugin can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..pytest_plugin.conftest import entry_point, run  # noqa: F401  fixtures
from ..pytest_plugin.test_driver_example import ANYWHERE, AT_REST, BETWEEN, ENDS, Start, run_suite, suite  # noqa: F401
from .conftest import power_on

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_suite_of_the_driver(run: Start, suite: Path, pytester: pytest.Pytester) -> None:  # noqa: F811  the fixture
    with power_on("v1.25.0", wires=[(14, 15), (16, 26)]) as pico:
        pytester.makefile(".toml", belay=f"[devices.pico]\nport = '{pico.port}'\ntags = ['wired']\n")
        result = run_suite(run, suite, "--belay-board", "pico", "--belay-require")
    outcomes = result.outcomes
    assert "gives 0 and 65535, and not 36500" in outcomes.pop(BETWEEN)
    assert outcomes == dict.fromkeys(ANYWHERE | ENDS | {AT_REST}, "passed"), result.stdout
    assert result.properties(AT_REST)["belay_machine"].startswith("Raspberry Pi Pico")
