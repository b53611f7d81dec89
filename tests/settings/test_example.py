"""``settings.example.toml`` is complete, right, and harmless as it stands."""

from __future__ import annotations

import dataclasses
import itertools
import re
import tomllib
from typing import TYPE_CHECKING, Any

from belay_py import (
    CircuitBreakerOptions,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    RateLimitOptions,
    RetryOptions,
    load_settings,
)
from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = ROOT / "settings.example.toml"
OPTION = re.compile(r"^#(?=\[|\w+ = )", re.MULTILINE)


def test_as_it_stands_it_changes_nothing() -> None:
    options = load_settings(EXAMPLE).manager_options()
    assert DeviceSessionOptions.build("virtual:", options.defaults) == DeviceSessionOptions(port="virtual:")
    assert dataclasses.replace(options, defaults={}) == DeviceSessionManagerOptions()


def test_with_every_option_taken_it_says_the_defaults(folder: Path) -> None:
    taken = folder / "taken.toml"
    taken.write_text(OPTION.sub("", EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    options = load_settings(taken).manager_options()
    for field in dataclasses.fields(DeviceSessionManagerOptions):
        if field.name not in {"defaults", "profiles", "devices"}:
            assert getattr(options, field.name) == getattr(DeviceSessionManagerOptions(), field.name)
    # The three tables that are not there by default come with their own defaults.
    tables = {"retry": RetryOptions(), "rate_limit": RateLimitOptions(), "circuit_breaker": CircuitBreakerOptions()}
    expected = DeviceSessionOptions.build("virtual:", tables)
    assert DeviceSessionOptions.build("virtual:", options.defaults) == expected
    assert set(options.devices) == {"sensor", "arm"}
    assert options.devices["sensor"].baudrate == options.profiles["slow"]["baudrate"]


def test_every_option_is_in_it_with_a_comment_above() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    tree = tomllib.loads(OPTION.sub("", text))
    assert set(tree) == names(DeviceSessionManagerOptions) - {"defaults"} | {"session"}
    assert set(tree["session"]) == names(DeviceSessionOptions) - {"port"}
    for name, table in tree["session"].items():
        if isinstance(table, dict):
            option = getattr(DeviceSessionOptions(port="virtual:"), name)
            homes = {"retry": RetryOptions, "rate_limit": RateLimitOptions, "circuit_breaker": CircuitBreakerOptions}
            assert set(table) == names(homes.get(name, type(option)))
    lines = text.partition("# ---- Profiles")[0].splitlines()
    for above, line in itertools.pairwise(lines):
        assert not OPTION.match(line) or above.startswith("# "), line


def names(home: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(home)}
