"""What happened to a session, told to whoever subscribed: frozen, dated, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.lifecycle import DeviceSessionState

DisconnectReason = Literal["requested", "unexpected", "idle", "evicted", "expired", "shutdown", "identity changed"]
"""``idle``: unused for ``idle_timeout``; ``expired``: open for ``max_lifetime``; ``evicted``: to make room."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """The root of all events. ``session`` is the one that it happened to; ``at`` is in UTC."""

    session: Any
    at: datetime = field(default_factory=_now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCreated(SessionEvent):
    """A manager has made the session. The first event."""


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
class Reconnecting(SessionEvent):
    """A manager is about to connect again: attempt number ``attempt``, in ``delay`` seconds."""

    attempt: int
    delay: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectFailed(SessionEvent):
    """The last of ``attempts`` attempts has failed with ``error``.

    The next use of the session tries again, and so does the manager when the board's port appears.
    """

    attempts: int
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(SessionEvent):
    """The board's link was lost ``losses`` times in a short while; it is left alone for ``seconds``."""

    losses: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEvent(SessionEvent):
    """The root of the events of leases. ``holder`` is the place that took the lease, as ``file:line``."""

    lease_id: int
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted(LeaseEvent):
    """Somebody has the board now. ``waited`` is how many seconds it took."""

    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReleased(LeaseEvent):
    """The lease is over. ``held`` is how many seconds it took; ``leaked`` whether it had been reported as leaked."""

    held: float
    leaked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLeaked(LeaseEvent):
    """A lease is held for longer than ``leak_after``. ``stack`` is that of its taking, where it is kept."""

    held: float
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardReset(SessionEvent):
    """The board's interpreter has restarted, whoever wanted it.

    ``output`` is what the boot printed, where that was seen. ``requested`` tells whether this session asked for it;
    else it was a program, a watchdog, a supply, somebody's finger. ``lost`` names what can be relied on no more.
    """

    boot_epoch: int
    output: str = ""
    requested: bool = False
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionError(SessionEvent):
    """The session went into ERROR; ``trouble`` says why."""

    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDisposed(SessionEvent):
    """The session is over for good. The last event, but for the end of a lease in which it was closed."""


Listener: TypeAlias = "Callable[[SessionEvent], None] | Callable[[SessionEvent], Awaitable[None]]"
"""A plain callable, which must not block, or an asynchronous one, which may execute on the session."""
