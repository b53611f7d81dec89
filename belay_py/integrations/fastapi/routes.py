"""Routes that show a manager's devices and sessions, and how it is."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.

from fastapi import APIRouter, Response

from belay_py.errors import DeviceNotFound
from belay_py.integrations.fastapi import models
from belay_py.integrations.fastapi.lifespan import Manager
from belay_py.integrations.fastapi.problems import problem_responses
from belay_py.manager.manager import DeviceSessionManager
from belay_py.text import did_you_mean

devices_router = APIRouter(tags=["devices"])
"""``/devices`` and ``/sessions``. Closing a session is for everybody who reaches it: include it with dependencies."""

health_router = APIRouter(prefix="/health", tags=["health"])
"""``/health/live`` and ``/health/ready``, for what watches the service."""


@devices_router.get("/devices")
async def list_devices(manager: Manager) -> list[models.Device]:
    """List all devices that are known, with a session or without."""
    return models.devices_of(manager)


@devices_router.get("/devices/{device_id}", responses=problem_responses(404))
async def get_device(manager: Manager, device_id: str) -> models.DeviceDetails:
    """Tell what is known of a device. Its board is not asked."""
    _require(manager, device_id)
    health = await manager.health()
    return models.details_of(manager, device_id, health.findings.get(device_id))


@devices_router.delete("/devices/{device_id}", responses=problem_responses(404))
async def close_device(manager: Manager, device_id: str) -> models.ClosedSession:
    """Close the session of a device for good, at once, and whoever has it.

    A device of the settings stays, and its next use makes a new session; one that the program has made is forgotten.
    """
    _require(manager, device_id)
    session = manager.get(device_id)
    if session is None:
        return models.ClosedSession(device_id=device_id, closed=False, session_id=None)
    await session.close()
    return models.ClosedSession(device_id=device_id, closed=True, session_id=session.session_id)


@devices_router.get("/sessions")
async def list_sessions(manager: Manager) -> list[models.Session]:
    """List the sessions that there are, those that were not used for longest first."""
    return [models.Session.of(session) for session in manager.sessions_by_last_used()]


@health_router.get("/live")
async def live() -> models.Liveness:
    """Answer, which is all that there is to it."""
    return models.Liveness()


@health_router.get("/ready", responses={503: {"model": models.Health, "description": "Unhealthy"}})
async def ready(manager: Manager, response: Response) -> models.Health:
    """Tell whether requests are worth sending: 503 when the manager is unhealthy, 200 also when it is degraded."""
    health = await manager.health()
    response.status_code = 503 if health.status == "unhealthy" else 200
    return models.Health.of(health)


router = APIRouter()
"""All of these routes."""
router.include_router(devices_router)
router.include_router(health_router)


def _require(manager: DeviceSessionManager, device_id: str) -> None:
    known = manager.devices()
    if device_id not in known:
        raise DeviceNotFound(f"there is no device {device_id!r}; {did_you_mean(device_id, known, 'the devices are')}")
