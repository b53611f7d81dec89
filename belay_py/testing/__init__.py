"""What tests of programs with boards need: a board by script, a recorded one, and a clock that jumps.

`ScriptedBoard` plays any conversation, right or wrong, behind a ``memory:`` port; `ReplayedBoard` plays a recorded one;
on a `VirtualClock` hours pass in milliseconds, and a wait that can never end is an error. Whether code is right for a
real MicroPython only a real one can tell: the virtual board (``virtual:``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers, which do not see __getattr__; a test compares the two lists
    from belay_py.testing.board import ScriptedBoard as ScriptedBoard
    from belay_py.testing.clock import Deadlock as Deadlock
    from belay_py.testing.clock import RealTimeNeeded as RealTimeNeeded
    from belay_py.testing.clock import VirtualClock as VirtualClock
    from belay_py.testing.interpreter import Execution as Execution
    from belay_py.testing.replay import ConversationDiffers as ConversationDiffers
    from belay_py.testing.replay import ReplayedBoard as ReplayedBoard
    from belay_py.testing.steps import Answer as Answer
    from belay_py.testing.steps import Forever as Forever
    from belay_py.testing.steps import HardReset as HardReset
    from belay_py.testing.steps import Instead as Instead
    from belay_py.testing.steps import Lose as Lose
    from belay_py.testing.steps import Pause as Pause
    from belay_py.testing.steps import Raise as Raise
    from belay_py.testing.steps import Read as Read
    from belay_py.testing.steps import Silence as Silence
    from belay_py.testing.steps import SoftReset as SoftReset
    from belay_py.testing.steps import Step as Step
    from belay_py.testing.steps import StopReading as StopReading
    from belay_py.testing.steps import SwallowInterrupts as SwallowInterrupts
    from belay_py.testing.wire import Direction as Direction
    from belay_py.testing.wire import FaultyWire as FaultyWire
    from belay_py.testing.wire_faults import Corrupt as Corrupt
    from belay_py.testing.wire_faults import Cut as Cut
    from belay_py.testing.wire_faults import Drop as Drop
    from belay_py.testing.wire_faults import Duplicate as Duplicate
    from belay_py.testing.wire_faults import Fault as Fault
    from belay_py.testing.wire_faults import Stall as Stall

_HOMES = {
    "belay_py.testing.board": ("ScriptedBoard",),
    "belay_py.testing.clock": ("Deadlock", "RealTimeNeeded", "VirtualClock"),
    "belay_py.testing.interpreter": ("Execution",),
    "belay_py.testing.replay": ("ConversationDiffers", "ReplayedBoard"),
    "belay_py.testing.steps": (
        "Answer",
        "Forever",
        "HardReset",
        "Instead",
        "Lose",
        "Pause",
        "Raise",
        "Read",
        "Silence",
        "SoftReset",
        "Step",
        "StopReading",
        "SwallowInterrupts",
    ),
    "belay_py.testing.wire": ("Direction", "FaultyWire"),
    "belay_py.testing.wire_faults": ("Corrupt", "Cut", "Drop", "Duplicate", "Fault", "Stall"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*_HOME_OF]  # noqa: PLE0604  the names of the table above


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
