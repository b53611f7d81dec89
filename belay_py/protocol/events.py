"""What `RawRepl.next_event` returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Features:
    """How a board takes code, learnt in the handshake and kept for the session."""

    raw_paste: bool
    window: int
    """Bytes that one credit grants; 0 without raw-paste."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The handshake's nonce came back: the board is at its raw prompt and nothing stale can follow."""

    features: Features
    discarded: bytes
    """What came before the nonce: banners, and the end of whatever ran (the last 4 KiB)."""


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that the running code wrote. Only for executions submitted with ``stream=True``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """An execution is over and the board is at its prompt.

    ``output`` is what it wrote, unless that went out as `Output` events; ``traceback`` is empty after a clean end.
    """

    output: bytes
    traceback: bytes


@dataclass(frozen=True, slots=True)
class BoardReset:
    """The interpreter has restarted and its raw banner was seen. A handshake must follow before more code is sent.

    ``output`` is what an execution had written before, ``boot_output`` what came between.
    """

    output: bytes
    boot_output: bytes


Event = Ready | Output | Finished | BoardReset
