"""Write the tables of ``docs/configuration.md``, and ``settings.example.toml``, from the options that the code has.

Run by hand: ``python docs/generate_configuration.py``. Meanings are the words below each option in its dataclass.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from belay_py.durations import format_duration
from belay_py.options import PROFILES, DeviceSessionManagerOptions, DeviceSessionOptions
from belay_py.settings.problems import variable_of
from belay_py.settings.tables import options_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.settings.tables import Option

PAGE: Final = Path(__file__).with_name("configuration.md")
EXAMPLE: Final = Path(__file__).parents[1] / "settings.example.toml"
MARK: Final = "<!-- From here on written by docs/generate_configuration.py. Do not edit. -->\n"

_UNITS: Final = {"baudrate": "bit/s", "chunk": "bytes"}
_QUOTED_PROFILES: Final = ", ".join(f'``"{name}"``' for name in PROFILES)
_DEVICE: Final = {
    "port": "Where the board is: a path, a COM name or a URL. Either this or `usb`.",
    "usb": "The board with these USB numbers, wherever it is plugged in: VID:PID or VID:PID:SERIAL.",
    "profile": "The name of a profile, whose options count for this device.",
}
_EXAMPLES: Final = """\

# ---- Profiles: named sets of session options. Any option of [session] may stand here.

#[profiles.slow]
#baudrate = 9600
#operation_timeout = "1m"
#tags = ["slow"]
#[profiles.slow.communication]
#framing = "plain"

# ---- Devices: boards by name, each opened on its first use. Any option of [session] may stand here too;
# ---- what a device says goes before its profile, and that before [session].

#[devices.sensor]
# {usb}
#usb = "2E8A:0005:E6614C311B6A4B2A"
# {profile}
#profile = "slow"
#tags = ["pico", "left"]

#[devices.arm]
# {port}
#port = "/dev/ttyACM0"
#idle_timeout = "never"
#[devices.arm.retry]
#max_attempts = 5
"""
_HEAD: Final = """\
# Settings of belay_py, complete. Written by docs/generate_configuration.py.
#
# Copy this file to belay.toml and take away the # in front of what you want to change: lines without a space after
# the # are options, at their defaults. BELAY_ variables go before this file, as in BELAY_SESSION__IDLE_TIMEOUT=10m,
# and arguments in code before those. `belay-py config` shows what counts, and where each value comes from.
#
# Durations are seconds, as in 90 or 1.5, or text with units, as in "250ms", "5m", "1h30m" or "2d"; "never" where there
# may be no limit. "none" takes a value away where a default is "none".

# ---- The manager. These stand above the first table.
"""


def meanings(home: type[Any]) -> dict[str, str]:
    """What stands below each field of a dataclass, for readers of TOML and not of Python."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(home))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            words = " ".join(str(ast.literal_eval(below.value)).split())
            words = words.replace("``math.inf``", '``"never"``').replace("`PROFILES`", _QUOTED_PROFILES)
            found[field.target.id] = re.sub(r"\bNone\b", '"none"', words).replace("``", "`")
    return found


def value(option: Option) -> str:
    """A default as TOML."""
    default = option.default
    if default is None:
        return '"none"'
    if option.is_duration:
        return json.dumps(format_duration(default))
    return json.dumps(list(default) if isinstance(default, frozenset | tuple) else default)


def tables() -> Iterator[tuple[str, type[Any], list[Option]]]:
    """Each table's name, with its options; first those of the manager, which stand in none."""
    manager = options_of(DeviceSessionManagerOptions)
    yield "", DeviceSessionManagerOptions, [manager[name] for name in manager if name not in _TABLES_OF_MANAGER]
    session = options_of(DeviceSessionOptions)
    plain = [option for option in session.values() if option.table is None and option.name != "port"]
    yield "session", DeviceSessionOptions, plain
    for option in session.values():
        if option.table is not None:
            yield f"session.{option.name}", option.table, list(options_of(option.table).values())


_TABLES_OF_MANAGER: Final = {"defaults", "profiles", "devices"}


# ---- The page ----


def page() -> str:
    """Give the page's text: what is written by hand, and the tables anew."""
    written, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{PAGE} has lost its mark"
    return "\n".join((written + MARK, *_page_tables()))


def _page_tables() -> Iterator[str]:
    of_session = meanings(DeviceSessionOptions)
    for table, home, options in tables():
        yield f"## `[{table}]`\n" if table else "## Options of the manager\n"
        if "." in table:
            option = options_of(DeviceSessionOptions)[table.partition(".")[2]]
            off = f' `{option.name} = true` takes these defaults, `"none"` does without.' if option.optional else ""
            yield textwrap.fill(of_session[option.name] + off, 120) + "\n"
        elif not table:
            yield "At the top of the file, above the first table.\n"
        words = meanings(home)
        yield "| Option | Default | Unit | Meaning |\n|---|---|---|---|"
        for option in options:
            yield f"| `{option.name}` | `{value(option)}` | {_unit(option)} | {words[option.name]}{_choices(option)} |"
        yield f"\nAs a variable: `{variable_of((*filter(None, table.split('.')), options[0].name))}`, and so on.\n"
    yield "## `[devices.NAME]`\n\nAny option of `[session]`, and:\n\n| Option | Meaning |\n|---|---|"
    for name, meaning in _DEVICE.items():
        yield f"| `{name}` | {meaning} |"
    yield ""


def _choices(option: Option) -> str:
    """The words that a value may be, where they are few."""
    if typing.get_origin(option.kind) is not typing.Literal:
        return ""
    return " One of " + ", ".join(f'`"{word}"`' for word in typing.get_args(option.kind)) + "."


def _unit(option: Option) -> str:
    return "s" if option.is_duration else _UNITS.get(option.name, "")


# ---- The example ----


def example() -> str:
    """Give the text of ``settings.example.toml``."""
    lines = [_HEAD]
    of_session = meanings(DeviceSessionOptions)
    for table, home, options in tables():
        if "." in table:
            name = table.partition(".")[2]
            # A table that may be missing does something by being there.
            optional = options_of(DeviceSessionOptions)[name].optional
            lines += [*_comment(of_session[name]), f"{'#' if optional else ''}[{table}]"]
        elif table:
            lines += ["# ---- Every session, where its profile or device says nothing else.\n", f"[{table}]"]
        words = meanings(home)
        for option in options:
            unit = _UNITS.get(option.name, "")
            said = words[option.name] + ("" if unit in words[option.name].lower() else f" In {unit}.")
            lines += [*_comment(said + _choices(option)), f"#{option.name} = {value(option)}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n" + _EXAMPLES.format(**_DEVICE)


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words.replace("`", ""), 118, initial_indent="# ", subsequent_indent="# ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")
