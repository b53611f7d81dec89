"""The tables of the pages say what the code says."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from typing import TYPE_CHECKING, Any, get_args

from belay_py import (
    CircuitBreakerOptions,
    CommunicationOptions,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    RateLimitOptions,
    RetryOptions,
    errors,
    events,
)
from belay_py.cli.app import _app as app
from belay_py.virtual import VirtualBoardOptions

from .blocks import ROOT

if TYPE_CHECKING:
    from types import ModuleType

DOCS = ROOT / "docs"


def table_rows(page: str, first_column: str) -> list[list[str]]:
    """The rows of every table of a page whose header begins with ``first_column``."""
    rows: list[list[str]] = []
    wanted = False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            wanted = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if wanted and not cells[0].startswith("---"):
            rows.append(cells)
        wanted = wanted or cells[0] == first_column
    return rows


def defaults(options: type[Any]) -> dict[str, str]:
    """Each field and its default, as the tables write them."""
    found = {}
    for field in dataclasses.fields(options):
        if field.default is not dataclasses.MISSING:
            found[f"`{field.name}`"] = f"`{field.default!r}`"
        elif field.default_factory is not dataclasses.MISSING:
            found[f"`{field.name}`"] = f"`{field.default_factory.__name__}()`"  # type: ignore[attr-defined]
        else:
            found[f"`{field.name}`"] = ""
    return found


def test_options_and_their_defaults() -> None:
    written = {row[0]: row[1] for row in table_rows("reference.md", "Option")}
    kinds = (
        DeviceSessionOptions,
        CommunicationOptions,
        RetryOptions,
        RateLimitOptions,
        CircuitBreakerOptions,
        DeviceSessionManagerOptions,
    )
    expected: dict[str, str] = {}
    for kind in kinds:
        expected |= defaults(kind)
    assert written == expected


def test_options_of_the_virtual_board() -> None:
    written = {row[0]: row[1] for row in table_rows("virtual-board.md", "Option")}
    assert written == defaults(VirtualBoardOptions)


def test_errors() -> None:
    written = [row[0].strip("`") for row in table_rows("reference.md", "Error")]
    there = [name for name, value in vars(errors).items() if isinstance(value, type)]
    assert sorted(written) == sorted(name for name in there if issubclass(getattr(errors, name), errors.BelayError))


def test_events_their_fields_and_reasons() -> None:
    written = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in table_rows("events.md", "Event")}
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and kind.__module__ == events.__name__]
    leaves = [kind for kind in kinds if not kind.__subclasses__()]
    shared = {field.name for field in dataclasses.fields(events.SessionEvent)}
    fields = {kind: [field.name for field in dataclasses.fields(kind) if field.name not in shared] for kind in leaves}
    assert written == {kind.__name__: names for kind, names in fields.items()}
    roots = [kind.__name__ for kind in kinds if kind not in leaves]
    assert all(f"`{name}`" in (DOCS / "events.md").read_text(encoding="utf-8") for name in roots)
    assert [row[0].strip("`") for row in table_rows("events.md", "Reason")] == list(get_args(events.DisconnectReason))


def test_verbs_of_the_command_line() -> None:
    titles = re.findall(r"^## ([a-z-]+)$", (DOCS / "cli.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles == [command.name for command in app.registered_commands]


def test_exit_statuses_are_those_that_the_module_names() -> None:
    from belay_py.cli import endings

    written = {int(row[0]) for row in table_rows("cli.md", "Status")}
    listed = {int(number) for number in re.findall(r"^(\d+) ", endings.__doc__ or "", re.MULTILINE)}
    assert written == listed


def test_the_page_of_the_states_is_fresh() -> None:
    generator = load(DOCS / "generate_states.py")
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run: python docs/generate_states.py"


def test_the_reference_of_the_configuration_and_the_example_are_fresh() -> None:
    generator = load(DOCS / "generate_configuration.py")
    how = "run: python docs/generate_configuration.py"
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), how
    assert generator.EXAMPLE.read_text(encoding="utf-8") == generator.example(), how


def load(path: Any) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
