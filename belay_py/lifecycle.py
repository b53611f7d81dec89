"""Everything that decides a session's state: nine states, one declaration of the legal moves.

`transitions.Machine` declares and performs the moves of the lifecycle. It costs 13 to 25 µs a move, which is too much
for the two moves around every execution, so ACTIVE and IDLE are flipped by `TABLE`, which is compiled from the same
machine; a test shows that the two agree for every state and trigger.
"""

from __future__ import annotations

import weakref
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from transitions import Machine, MachineError, State

from belay_py.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Callable


class DeviceSessionState(Enum):
    """The life of a session."""

    __hash__ = object.__hash__  # Enum's own is a Python function, and every operation looks into `TABLE` three times

    CREATED = "created"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    """The handshake has just passed."""
    ACTIVE = "active"
    """An operation runs."""
    IDLE = "idle"
    """The latest operation has ended."""
    DISCONNECTING = "disconnecting"
    DISCONNECTED = "disconnected"
    """No link; `connect` is possible."""
    ERROR = "error"
    """The board could not be brought back into step; `connect` tries anew."""
    DISPOSED = "disposed"
    """Over for good."""


_S = DeviceSessionState  # short, for the table below

TRANSITIONS: Final[tuple[tuple[str, tuple[DeviceSessionState, ...], DeviceSessionState], ...]] = (
    ("connect", (_S.CREATED, _S.DISCONNECTED, _S.ERROR), _S.CONNECTING),
    ("connected", (_S.CONNECTING,), _S.CONNECTED),
    ("begin", (_S.CONNECTED, _S.IDLE), _S.ACTIVE),
    ("finish", (_S.ACTIVE,), _S.IDLE),
    ("fail", (_S.CONNECTING, _S.CONNECTED, _S.ACTIVE, _S.IDLE), _S.ERROR),
    ("lose", (_S.CONNECTING, _S.CONNECTED, _S.ACTIVE, _S.IDLE), _S.DISCONNECTED),
    ("disconnect", (_S.CONNECTING, _S.CONNECTED, _S.ACTIVE, _S.IDLE, _S.ERROR), _S.DISCONNECTING),
    ("disconnected", (_S.DISCONNECTING,), _S.DISCONNECTED),
    ("dispose", (_S.CREATED, _S.DISCONNECTED, _S.ERROR), _S.DISPOSED),
)
"""Trigger, the states it is legal in, and where it leads. Every other pair of state and trigger is refused."""


class _Quiet(State):
    """A state without callbacks, and without the two lines in the log that each move would cost."""

    def enter(self, event_data: Any) -> None:
        pass

    def exit(self, event_data: Any) -> None:
        pass


class _Machine(Machine):
    state_cls = _Quiet


MACHINE: Final[Any] = _Machine(
    model=None,
    states=_S,
    transitions=[{"trigger": trigger, "source": list(sources), "dest": dest} for trigger, sources, dest in TRANSITIONS],
    initial=_S.CREATED,
    auto_transitions=False,  # its to_X methods would pass by the table
)


def _compile(machine: Any) -> dict[tuple[DeviceSessionState, str], DeviceSessionState]:
    return {
        (DeviceSessionState[source], trigger): DeviceSessionState[moves[0].dest]
        for trigger, event in machine.events.items()
        for source, moves in event.transitions.items()
    }


TABLE: Final = _compile(MACHINE)


class Lifecycle:
    """One session's state. `fire` and `flip` are the only doors through which it changes.

    The machine keeps its models alive, so a model is this small object and never the session itself: an ``owner`` that
    is dropped without being closed takes its model along.
    """

    state: DeviceSessionState

    def __init__(self, owner: object) -> None:
        MACHINE.add_model(self)
        self._release = weakref.finalize(owner, MACHINE.remove_model, self)
        self._release.atexit = False
        self._watcher: weakref.WeakMethod[Callable[[DeviceSessionState, DeviceSessionState], None]] | None = None

    def watch(self, watcher: Callable[[DeviceSessionState, DeviceSessionState], None] | None) -> None:
        """Call a bound method with the old and the new state after each move; None ends that.

        It is held weakly, since the machine keeps this object alive, and a watcher knows the session.
        """
        self._watcher = None if watcher is None else weakref.WeakMethod(watcher)

    def allows(self, trigger: str) -> bool:
        """Whether ``trigger`` is legal now."""
        return (self.state, trigger) in TABLE

    def fire(self, trigger: str) -> None:
        """Make a move through the machine. Raises `IllegalTransition`, naming state and trigger."""
        old = self.state
        if old is _S.DISPOSED:
            raise _refusal(old, trigger)
        try:
            MACHINE.events[trigger].trigger(self)
        except MachineError as error:
            raise _refusal(old, trigger) from error
        if self.state is _S.DISPOSED:
            self._release()
        if self._watcher is not None:
            self._tell(old)

    def flip(self, trigger: str) -> None:
        """Make a move by the compiled table: for the two moves around each operation."""
        old = self.state
        new = TABLE.get((old, trigger))
        if new is None:
            raise _refusal(old, trigger)
        self.state = new
        if self._watcher is not None:
            self._tell(old)

    def _tell(self, old: DeviceSessionState) -> None:
        watcher = self._watcher() if self._watcher is not None else None
        if watcher is not None:
            watcher(old, self.state)


def _refusal(state: DeviceSessionState, trigger: str) -> IllegalTransition:
    allowed = sorted(name for (source, name) in TABLE if source is state)
    return IllegalTransition(
        f"cannot {trigger} a session that is {state.name}; from there it can: {', '.join(allowed) or 'nothing'}"
    )
