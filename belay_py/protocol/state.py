"""Where a raw-REPL conversation stands, and which steps are legal from there."""

from __future__ import annotations

from enum import Enum


class ReplState(Enum):
    """One conversation's state. Everything that `RawRepl` may do next follows from it."""

    UNKNOWN = "unknown"
    """Nobody knows what the board is doing: before the first handshake, and after any doubt."""
    ENTERING = "entering"
    """A handshake is under way; only its own nonce ends it."""
    READY = "ready"
    """At a verified raw prompt. Nothing is owed by either side."""
    HEADER = "header"
    """Code is on its way; the board has not yet said how it takes it."""
    UPLOADING = "uploading"
    """The board is reading code; it grants credits, or acknowledges, or aborts."""
    OUTPUT = "output"
    """The code runs, or has just ended; its response is coming."""
    REBOOTING = "rebooting"
    """The interpreter restarts; its banner ends the boot output."""


RESPONDING = frozenset({ReplState.HEADER, ReplState.UPLOADING, ReplState.OUTPUT})
"""The states between the first byte of an execution and its prompt."""
