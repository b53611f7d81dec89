"""What a fault is, and which ends of a conversation it excuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    ExecutionError,
    OutcomeUnknown,
    SessionTimeout,
)

from .conversations import STREAMED, Conversation, WrongEnd

if TYPE_CHECKING:
    from collections.abc import Mapping

State = DeviceSessionState
Direction = Literal["to_board", "to_host"]
Kind = Literal["cut", "stall", "drop", "corrupt", "duplicate"]

DIRECTIONS: Final[tuple[Direction, ...]] = ("to_board", "to_host")
BREAKS: Final[tuple[Kind, ...]] = ("cut", "stall")
"""What ends the wire: no byte is ever altered."""
NOISE: Final[tuple[Kind, ...]] = ("drop", "corrupt", "duplicate")
"""What alters one byte, and nobody is told."""

RIGHT: Final = "right"
WRONG_RESULT: Final = "wrong result"
"""Noise has changed the code or its answer, and nobody can tell."""
_PROMISED: Final[Mapping[str, tuple[type[BelayError], ...]]] = {
    "cut": (Disconnected, OutcomeUnknown),
    "stall": (SessionTimeout,),
}
_SETTLED: Final = (State.CONNECTED, State.IDLE, State.ERROR, State.DISCONNECTED)


@dataclass(frozen=True)
class Fault:
    """What happens to which byte, counted from the beginning of the conversation."""

    conversation: Conversation
    kind: Kind
    direction: Direction
    offset: int

    def __str__(self) -> str:
        way = "to the board" if self.direction == "to_board" else "to the host"
        return f"{self.conversation.name}: {self.kind} at byte {self.offset} {way}"


def usable(session: DeviceSession) -> bool:
    """Whether a session says that its board is at its prompt."""
    return session.state in (State.CONNECTED, State.IDLE)


class Judge:
    """Says what an end is called, or raises `WrongEnd`. With ``integrity`` noise excuses no wrong result either."""

    def __init__(self, *, integrity: bool = False) -> None:
        self._integrity = integrity

    def _is_exact(self, fault: Fault) -> bool:
        return self._integrity or fault.kind in BREAKS

    def end(self, fault: Fault, outcome: object, right: object, error: Exception | None, session: DeviceSession) -> str:
        """Judge how a conversation ended, at once."""
        if isinstance(error, WrongEnd):
            raise error
        if isinstance(error, TimeoutError) and not isinstance(error, BelayError):
            raise WrongEnd("it had not ended when its deadline and the grace were over")
        if session.state not in _SETTLED:
            raise WrongEnd(f"it ended in {error!r}, and the session is {session.state.name}")
        if error is None:
            return RIGHT if outcome == right else self._wrong(fault, f"the result is {outcome!r}")
        if not isinstance(error, BelayError):
            raise WrongEnd(f"an exception that is not ours: {error!r}") from error
        if isinstance(error, ExecutionError):
            return self._wrong(fault, f"the board is said to have raised {error!r}")
        if not str(error) or "\n" in str(error):
            raise WrongEnd(f"its message is not one line: {error!r}")
        if isinstance(error, SessionTimeout) and error.recovered != usable(session):
            raise WrongEnd(f"recovered is {error.recovered}, and the session is {session.state.name}")
        # Half of a line's end is the one byte that text shows otherwise than whole.
        streamed = getattr(error, "streamed", "").removesuffix("\r")
        if not STREAMED.get(fault.conversation.name, "").startswith(streamed):
            if fault.kind in BREAKS:
                raise WrongEnd(f"{streamed!r} was streamed")
            # What was yielded cannot be taken back: with integrity, the error behind it says that it is damaged.
            return self._name(fault, error) if self._integrity else WRONG_RESULT
        return self._name(fault, error)

    def runs(self, fault: Fault, error: Exception | None, runs: int | None, *, told: bool) -> None:
        """Judge how often its code ran; None: the board has restarted since. ``told``: the session has noticed that."""
        expected = fault.conversation.runs
        if runs is None:
            # Noise can be a request for a restart.
            if fault.kind in BREAKS or not told:
                raise WrongEnd(f"the board has restarted{'' if told else ', which nobody was told'}")
        elif getattr(error, "outcome", None) == "not_started" and runs:
            raise WrongEnd(f"the code ran {runs} times, and {error!r} says that it did not")
        elif self._is_exact(fault) and (runs > expected or (error is None and runs != expected)):
            raise WrongEnd(f"the code ran {runs} times, and it ended in {error!r}")

    def _wrong(self, fault: Fault, what: str) -> str:
        if self._is_exact(fault):
            raise WrongEnd(what)
        return WRONG_RESULT

    def _name(self, fault: Fault, error: BelayError) -> str:
        connects = fault.conversation.name == "connect"
        promised = (ConnectionFailed,) if connects else _PROMISED.get(fault.kind, (BelayError,))
        if not isinstance(error, promised):
            raise WrongEnd(f"not the right error: {error!r}") from error
        not_started = getattr(error, "outcome", None) == "not_started"
        # Where that goes without saying, it is not said.
        implied = isinstance(error, Disconnected | ConnectionFailed)
        return type(error).__name__ + (", not started" if not_started and not implied else "")
