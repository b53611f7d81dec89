"""``config``: which settings count, and where each value comes from."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from belay_py.cli.endings import with_exit_status
from belay_py.cli.options import Json  # noqa: TC001  typer reads it
from belay_py.cli.tables import print_json, print_table
from belay_py.durations import format_duration

if TYPE_CHECKING:
    from belay_py.settings import EffectiveValue

_File = Annotated[
    str | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="The settings file; without it that of BELAY_SETTINGS, or belay.toml in this folder if there is one.",
        show_default=False,
    ),
]
_All = Annotated[
    bool, typer.Option("--all", help="Show of each device also what neither it nor its profile sets, as --json does.")
]


@with_exit_status
def config(*, settings: _File = None, everything: _All = False, as_json: Json = False) -> None:
    """Show the settings that count, from the file, the BELAY_ variables and the defaults, and where each is from.

    \b
    Examples:
      belay-py config
      belay-py config --settings bench.toml --json
      BELAY_SESSION__IDLE_TIMEOUT=10m belay-py config
    """
    from belay_py.settings import load_settings  # noqa: PLC0415  pydantic-settings, which no other verb needs

    values = list(load_settings(settings).effective_values())
    if as_json:
        print_json(
            [
                {"name": value.name, "value": _for_programs(value.value), "from": value.origin, "table": value.table}
                for value in values
            ]
        )
    else:
        shown = (value for value in values if everything or not _is_inherited(value))
        print_table(
            ((value.name, _for_people(value.value), _from(value)) for value in shown), ("OPTION", "VALUE", "FROM")
        )


def _is_inherited(value: EffectiveValue) -> bool:
    """Whether it says of a device only what is said of all sessions already."""
    return value.name.startswith("devices.") and (value.origin == "default" or value.table == "session")


def _from(value: EffectiveValue) -> str:
    inherited = value.name.startswith("devices.") and not value.table.startswith("devices.")
    return f"{value.origin} [{value.table}]" if inherited else value.origin


def _for_people(value: Any) -> str:
    if isinstance(value, float):  # all of them are durations
        return format_duration(value)
    if isinstance(value, str) and value.isprintable() and value:
        return value
    return "none" if value is None else json.dumps(_for_programs(value))


def _for_programs(value: Any) -> Any:
    if isinstance(value, frozenset | tuple):
        return sorted(value) if isinstance(value, frozenset) else list(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # JSON has no infinity; settings read this text back.
    return "inf" if isinstance(value, float) and math.isinf(value) else value
