"""What happened to a session, told to whoever subscribed: frozen, dated, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.lifecycle import DeviceSessionState

DisconnectReason = Literal["requested", "unexpected"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """The root of all events. ``session`` is the one that it happened to; ``at`` is in UTC."""

    session: Any
    at: datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(SessionEvent):
    """The session went from one state to another."""

    old: DeviceSessionState
    new: DeviceSessionState


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionConnected(SessionEvent):
    """The board is at a verified prompt and has said what it is. ``generation`` counts the connections."""

    generation: int
    boot_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisconnected(SessionEvent):
    """The link is closed. ``error`` is what ended it, where something did that nobody here had asked for."""

    reason: DisconnectReason
    error: Exception | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardReset(SessionEvent):
    """The board's interpreter has restarted, whoever wanted it: its variables are gone.

    ``output`` is what the boot printed, where that was seen.
    """

    boot_epoch: int
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionError(SessionEvent):
    """The session went into ERROR; ``trouble`` says why."""

    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisposed(SessionEvent):
    """The session is over for good. The last event."""


Listener: TypeAlias = "Callable[[SessionEvent], None] | Callable[[SessionEvent], Awaitable[None]]"
"""A plain callable, which must not block, or an asynchronous one, which may execute on the session."""
