"""What a scripted board can be told to do, one step at a time.

An answer to code is what the program prints, or steps. Text is sent as ``print`` sends it, with ``\\r\\n`` for ``\\n``,
bytes as they are. After the last step the board ends the response as MicroPython does, unless a step has ended it.
Steps are taken one by one as their time comes, so a generator may look at the test's state in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for ``seconds`` of the loop's time, while the program runs on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Forever:
    """Print ``data`` every so many seconds without end, until an interrupt; without ``data`` just run."""

    data: bytes = b""
    every: float = 0.01


@dataclass(frozen=True, slots=True)
class Read:
    """Wait for input up to and including these bytes, and take it."""

    until: bytes = b"\r"


@dataclass(frozen=True, slots=True)
class Raise:
    """End the program with an exception."""

    type: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Instead:
    """End the response with these bytes instead of what MicroPython sends; the board is at its prompt then."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Lose:
    """Lose the link, after what was sent has arrived. The board runs on."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Hang: neither hear nor say anything more, until the board is restarted or `ScriptedBoard.silent` is cleared."""


@dataclass(frozen=True, slots=True)
class StopReading:
    """Take no more bytes from the link: they pile up at the host, until `ScriptedBoard.resume`."""


@dataclass(frozen=True, slots=True)
class SwallowInterrupts:
    """Let the next Ctrl-C, ``times`` of them, have no effect, as a program that catches them does."""

    times: float = math.inf


@dataclass(frozen=True, slots=True)
class SoftReset:
    """Restart the interpreter, as ``SystemExit`` does."""


@dataclass(frozen=True, slots=True)
class HardReset:
    """Restart the chip: it comes up at its friendly prompt. `ScriptedBoard.away` says what becomes of the link."""


OutsideStep: TypeAlias = Lose | Silence | StopReading | HardReset
"""What happens to the board from outside its interpreter."""
ActiveStep: TypeAlias = str | bytes | Read | Raise | Instead | SwallowInterrupts | SoftReset | OutsideStep
"""What takes no time."""
Step: TypeAlias = ActiveStep | Pause | Forever
Answer: TypeAlias = Step | Iterable[Step] | None
"""What becomes of code. None prints nothing."""


def steps_of(answer: Answer) -> Iterable[Step]:
    """Return an answer as steps."""
    if answer is None:
        return ()
    return (answer,) if isinstance(answer, Step) else answer


def printed(text: str | bytes) -> bytes:
    """Return the bytes that a board sends for what its program prints."""
    return text.encode().replace(b"\n", b"\r\n") if isinstance(text, str) else text
