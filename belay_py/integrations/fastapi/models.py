"""What the routes answer: a manager's sessions, devices and health, as data."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from belay_py.errors import SessionClosed
from belay_py.lifecycle import DeviceSessionState
from belay_py.manager.health import HealthFinding, ManagerHealth
from belay_py.manager.manager import DeviceSessionManager
from belay_py.session import session as sessions


class _Data(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Session(_Data):
    """One conversation with one board."""

    session_id: str
    device_id: str
    port: str
    state: DeviceSessionState
    created_at: datetime
    last_used: datetime
    generation: int
    boot_epoch: int
    operations: int
    errors: int

    @classmethod
    def of(cls, session: sessions.DeviceSession) -> "Session":
        """Describe a session as it is now."""
        numbers = session.statistics
        return cls(
            session_id=session.session_id,
            device_id=session.device_id,
            port=session.port,
            state=session.state,
            created_at=session.created_at,
            last_used=session.last_used,
            generation=session.generation,
            boot_epoch=session.boot_epoch,
            operations=numbers.operations,
            errors=numbers.errors,
        )


class Device(_Data):
    """A device that the manager knows."""

    device_id: str
    port: str
    tags: list[str]
    state: DeviceSessionState | None
    """None while it has no session."""


class Board(_Data):
    """What a board has said about itself."""

    implementation: str
    version: tuple[int, ...]
    platform: str | None
    machine: str | None
    unique_id: str | None


class Finding(_Data):
    """What the latest health check of a board has found. Sizes are bytes, durations seconds."""

    ok: bool
    trouble: str
    duration: float | None
    heap_free: int | None
    heap_allocated: int | None
    storage_size: int | None
    storage_free: int | None
    link_errors: int
    at: datetime


class DeviceDetails(Device):
    """A device with all that is known of it."""

    session: Session | None
    board: Board | None
    """None until it was connected."""
    finding: Finding | None
    """None until it was checked."""


class ClosedSession(_Data):
    """What came of closing the session of a device."""

    device_id: str
    closed: bool
    """False when there was no session to close."""
    session_id: str | None


class Liveness(_Data):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Health(_Data):
    """How the manager and its boards are."""

    status: Literal["healthy", "degraded", "unhealthy"]
    reasons: list[str]
    active: int
    idle: int
    max_sessions: int
    utilization: float
    quarantined: list[str]
    findings: dict[str, Finding]

    @classmethod
    def of(cls, health: ManagerHealth) -> "Health":
        """Describe what the manager has said."""
        return cls.model_validate(health)


def devices_of(manager: DeviceSessionManager) -> list[Device]:
    """Describe all devices that the manager knows."""
    sessions_of = _sessions_of(manager)
    return [_device_of(manager, device_id, sessions_of.get(device_id)) for device_id in manager.devices()]


def details_of(manager: DeviceSessionManager, device_id: str, finding: HealthFinding | None) -> DeviceDetails:
    """Describe a device that the manager knows, with all that is known of it."""
    session = _sessions_of(manager).get(device_id)
    return DeviceDetails(
        **_device_of(manager, device_id, session).model_dump(),
        session=None if session is None else Session.of(session),
        board=None if session is None else _board_of(session),
        finding=None if finding is None else Finding.model_validate(finding),
    )


def _device_of(manager: DeviceSessionManager, device_id: str, session: sessions.DeviceSession | None) -> Device:
    # Those that the next session gets: `create_session` may have put others in place of the settings'.
    options = manager._pool.members[device_id].options  # noqa: SLF001  a bridge to it and the same library
    return Device(
        device_id=device_id,
        port=options.port if session is None else session.port,
        tags=sorted(options.tags),
        state=None if session is None else session.state,
    )


def _board_of(session: sessions.DeviceSession) -> Board | None:
    try:
        return Board.model_validate(session.info)
    except SessionClosed:  # it was never connected
        return None


def _sessions_of(manager: DeviceSessionManager) -> dict[str, sessions.DeviceSession]:
    # Not `get`, which counts as a use: looking keeps no board open.
    return {session.device_id: session for session in manager}
