"""Code that does not fit the board's memory: seen beforehand where it would crash the board, told apart afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from belay_py.errors import CodeTooLarge
from belay_py.protocol import Finished
from belay_py.session.outcomes import Dropped
from belay_py.text import to_text

if TYPE_CHECKING:
    from belay_py.errors import Outcome
    from belay_py.session.channel import Channel

# Without raw-paste a board keeps all the code before it compiles any, and ends in a fatal error when it cannot (tried:
# the micro:bit at 9,000 bytes, the virtual board at nine tenths of its heap). So it is asked for one block of that
# size, which raises MemoryError and harms nothing. What the latest code left behind is collected first.
_ASK: Final = b"__import__('gc').collect()\nbytearray(%d)\n__import__('gc').collect()"
ALWAYS_FITS: Final = 1024
"""Bytes of code that are sent unasked: the code which asks a board about itself was longer."""
_LINE_GROWS_BY = 512
"""Room for the code's own reader, beside the code."""

_LEAST_SHARE = 16
"""Which part of the heap's size code must have before a MemoryError that names no place is put down to its compilation.
On a Pico code failed to compile from a quarter to half of its free heap on; a program that fills the heap is short."""

_REMEDY = "send it in pieces, or put it on the board as a file or .mpy and import it"


async def require_room(channel: Channel, code: bytes, deadline: float) -> None:
    """Raise `CodeTooLarge` for code that would crash a board without raw-paste. Others say so themselves, later.

    Raises what `Channel.execute` raises too, and `Dropped` when an interrupt came meanwhile.
    """
    features = channel.repl.features
    if len(code) <= max(ALWAYS_FITS, channel.code_room) or features is None or features.raw_paste:
        return
    event = await channel.execute(_ASK % (len(code) + _LINE_GROWS_BY), deadline)
    if channel.interrupted:
        raise Dropped
    if isinstance(event, Finished) and b"MemoryError" in event.traceback:
        raise does_not_fit(channel, code, to_text(event.traceback), "not_started")
    channel.code_room = len(code)  # such a board never gives this memory back (tried): the same code fits again


def too_large(channel: Channel, code: bytes, event: Finished, *, silent: bool) -> CodeTooLarge | None:
    """Return the error when an execution ended because the board has no memory for its code, else None.

    ``silent`` says that the code printed nothing. An exception that the program raised names its place, unless the heap
    is so full that there is no memory for that.
    """
    if not silent or not event.traceback.startswith(b"MemoryError"):
        return None
    text = to_text(event.traceback)
    if channel.repl.cut_short:
        return does_not_fit(channel, code, text, "not_started")
    if len(code) * _LEAST_SHARE < (channel.heap or ALWAYS_FITS * _LEAST_SHARE):
        return None
    return does_not_fit(channel, code, text, "unknown")


def does_not_fit(channel: Channel, code: bytes, traceback: str, outcome: Outcome) -> CodeTooLarge:
    """Return the error for code that the board has no memory for, which it said by ``traceback``."""
    heap = channel.heap
    room = "memory" if heap is None else f"heap of {heap} bytes"
    consequence = "none of it ran" if outcome == "not_started" else "it printed nothing, and most likely none of it ran"
    return CodeTooLarge(
        f"the code of {len(code)} bytes does not fit the board's {room}; {consequence}. To run it, {_REMEDY}",
        traceback.strip("\r\n"),
        size=len(code),
        heap=heap,
        outcome=outcome,
    )
