"""The manager of an application: opened when it starts, closed when it ends, found by its requests."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from belay_py.errors import SettingsError
from belay_py.manager.manager import DeviceSessionManager, HasManagerOptions
from belay_py.options import DeviceSessionManagerOptions

STATE: Final = "belay"
"""The name of the manager in the state of the application's lifespan, and so in ``request.state``."""


def lifespan(
    settings: DeviceSessionManagerOptions | HasManagerOptions | None = None,
    *,
    prepare: Callable[[DeviceSessionManager], Awaitable[object]] | None = None,
    grace: float | None = None,
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, Any]]]:
    """Return the ``lifespan`` of a FastAPI or Starlette application, which keeps a manager for its whole life.

    ``settings`` are what `DeviceSessionManager` takes; without any, those of `load_settings` are read when the
    application starts. ``prepare`` is awaited with the manager before the first request: it may create sessions, or
    call ``warm_up``. ``grace`` is the seconds for leases that are held when the application ends, by default
    ``close_grace``. An application with a lifespan of its own enters this one in there, and yields its state too.

    Starting raises `SettingsError` and what ``prepare`` raises.
    """

    @asynccontextmanager
    async def opened(app: Any) -> AsyncIterator[dict[str, Any]]:
        del app
        async with DeviceSessionManager(_loaded() if settings is None else settings) as manager:
            if prepare is not None:
                await prepare(manager)
            try:
                yield {STATE: manager}
            finally:
                await manager.close(grace)

    return opened


def manager_of(connection: HTTPConnection) -> DeviceSessionManager:
    """The dependency that gives the application's manager. Raises `SettingsError` when it was started without one."""
    found = getattr(connection.state, STATE, None)
    if isinstance(found, DeviceSessionManager):
        return found
    raise SettingsError(
        "the application has no manager: pass FastAPI(lifespan=belay_py.integrations.fastapi.lifespan(...)), and in "
        "tests start it, as `with TestClient(app)` does"
    )


Manager = Annotated[DeviceSessionManager, Depends(manager_of)]
"""A parameter of an endpoint: the application's manager."""


def _loaded() -> HasManagerOptions:
    from belay_py.settings import load_settings  # noqa: PLC0415  pydantic-settings, for who has no options at hand

    return load_settings()
