"""Boards for FastAPI services: a lifespan, leases as dependencies, routes, and errors as problem details.

The extra ``fastapi``. docs/services.md shows how it is used.
"""

from belay_py.errors import NotSupported

try:
    import fastapi
except ImportError as error:
    raise NotSupported('fastapi is not installed here; run: pip install "belay_py[fastapi]"') from error

from belay_py.integrations.fastapi.leasing import leased
from belay_py.integrations.fastapi.lifespan import Manager, lifespan, manager_of
from belay_py.integrations.fastapi.models import ClosedSession, Device, DeviceDetails, Health, Liveness, Session
from belay_py.integrations.fastapi.problems import handle_errors, problem_responses
from belay_py.integrations.fastapi.routes import devices_router, health_router, router
from belay_py.integrations.problems import Problem

del fastapi, NotSupported

__all__ = [
    "ClosedSession",
    "Device",
    "DeviceDetails",
    "Health",
    "Liveness",
    "Manager",
    "Problem",
    "Session",
    "devices_router",
    "handle_errors",
    "health_router",
    "leased",
    "lifespan",
    "manager_of",
    "problem_responses",
    "router",
]
