"""Write ``docs/states.md`` from the table that the code runs on. Run by hand: ``python docs/generate_states.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from belay_py.lifecycle import TABLE, TRANSITIONS, DeviceSessionState

PAGE: Final = Path(__file__).with_name("states.md")

_S = DeviceSessionState

_MEANINGS: Final = {
    _S.CREATED: "Made, never connected.",
    _S.CONNECTING: "The port is being opened, or the board is being brought to its prompt.",
    _S.CONNECTED: "The handshake has just passed.",
    _S.ACTIVE: "An operation runs, or the board is being recovered after one.",
    _S.IDLE: "The latest operation has ended; the board is at a verified prompt.",
    _S.DISCONNECTING: "The port is being closed.",
    _S.DISCONNECTED: "No link. `connect` is possible.",
    _S.ERROR: "The board could not be brought back into step. `connect` tries anew.",
    _S.DISPOSED: "Over for good.",
}

_TRIGGERS: Final = {
    "connect": "`connect` was called",
    "connected": "the board has answered the handshake and said what it is",
    "begin": "an operation has its turn",
    "finish": "the operation has ended, and the board is at its prompt",
    "fail": "the board does not answer as it should, or not in time",
    "lose": "the link has ended, or the connecting was cancelled",
    "disconnect": "`disconnect` or `close` was called",
    "disconnected": "the port is closed",
    "dispose": "`close` has come to its end",
}

_HEAD: Final = """\
# The states of a session

<!-- Written by docs/generate_states.py from belay_py.lifecycle.TRANSITIONS. Do not edit. -->

`session.state` is one of the states below. It changes by these moves only. Any other raises `IllegalTransition`, which
names the state and what is possible from there.
"""


def page() -> str:
    """Give the page's text."""
    return "\n".join((_HEAD, *_states(), "", *_moves(), "", *_diagram()))


def _states() -> list[str]:
    rows = [f"| {state.name} | {_MEANINGS[state]} |" for state in _S]
    return ["| State | Meaning |", "|---|---|", *rows]


def _moves() -> list[str]:
    rows = [
        f"| `{trigger}` | {_TRIGGERS[trigger]} | {', '.join(source.name for source in sources)} | {target.name} |"
        for trigger, sources, target in TRANSITIONS
    ]
    return ["## The moves", "", "| Move | When | From | To |", "|---|---|---|---|", *rows]


def _diagram() -> list[str]:
    """Give the moves state by state: a diagram that needs no script and reads aloud."""
    width = max(len(trigger) for trigger, *_ in TRANSITIONS)
    lines = ["## From each state", "", "```text"]
    for state in _S:
        moves = [(trigger, target) for (source, trigger), target in TABLE.items() if source is state]
        lines.append(state.name if moves else f"{state.name}  (nothing leads out)")
        lines += [f"  |-- {trigger} {'-' * (width - len(trigger))}--> {target.name}" for trigger, target in moves]
    return [*lines, "```", ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
