"""Leases for requests: a dependency that has a board for the length of one request, whatever that does."""

# FastAPI reads annotations while the program runs: no postponed ones, and no imports for type checkers only.
import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated

from fastapi import Path
from starlette.requests import ClientDisconnect, HTTPConnection, Request

from belay_py.errors import Interrupted, SessionClosed, SettingsError
from belay_py.integrations.fastapi.lifespan import Manager
from belay_py.manager.leases import Lease, check_timeout
from belay_py.options import as_tags
from belay_py.session.session import DeviceSession

Dependency = Callable[..., AsyncIterator[DeviceSession]]
_GONE = "the client is gone, and its lease is over; nobody gets this answer"


def leased(
    device_id: str | None = None,
    *,
    tags: Iterable[str] | None = None,
    path: str | None = None,
    timeout: float | None = None,
) -> Dependency:
    """Return a dependency that leases a board for the length of a request, and yields its session.

    Of the device of that name; or of any free one that has all ``tags``; or of the one that the request's path names
    in its parameter ``path``. ``timeout`` is seconds as in the manager's ``lease``. The request's body is read before.
    The same arguments return the same dependency, which a request enters once.

    The lease is over when the answer was sent and background tasks have ended, or the endpoint raised; with
    ``Depends(..., scope="function")``, when the endpoint has returned. When the client goes away before that, or during
    a stream, it is over at once: a request that waits for its board waits no longer, and code that runs is stopped, as
    the option ``checkin`` says. A WebSocket's lasts as long as its endpoint.

    The request raises what ``lease`` raises. Raises `SettingsError` unless exactly one of the three is given, and when
    ``timeout`` is no number of seconds.
    """
    if sum(given is not None for given in (device_id, tags, path)) != 1:
        raise SettingsError("a lease is of one: leased('NAME'), leased(tags={...}), or leased(path='PARAMETER')")
    if timeout is not None:
        check_timeout(timeout)
    if path is not None:
        return _by_path(path, timeout)
    return _by_choice(device_id, None if tags is None else as_tags(tags), timeout)


@functools.cache
def _by_path(name: str, timeout: float | None) -> Dependency:
    async def lease_of_path(
        connection: HTTPConnection,
        manager: Manager,
        device_id: Annotated[str, Path(alias=name, description="the name of a device")],
    ) -> AsyncIterator[DeviceSession]:
        async with _lent(connection, manager.lease(device_id, timeout=timeout)) as session:
            yield session

    return lease_of_path


@functools.cache
def _by_choice(device_id: str | None, tags: frozenset[str] | None, timeout: float | None) -> Dependency:
    async def lease_of_choice(connection: HTTPConnection, manager: Manager) -> AsyncIterator[DeviceSession]:
        if device_id is not None:
            lease = manager.lease(device_id, timeout=timeout)
        else:
            lease = manager.lease(tags=tags or (), timeout=timeout)
        async with _lent(connection, lease) as session:
            yield session

    return lease_of_choice


@contextlib.asynccontextmanager
async def _lent(connection: HTTPConnection, lease: Lease[DeviceSession]) -> AsyncIterator[DeviceSession]:
    lease.claim.holder = _name_of(connection)
    client = _Client(lease)
    if isinstance(connection, Request):
        await client.watch(connection)
    try:
        yield await client.acquire()
    except (Interrupted, SessionClosed) as error:
        if client.is_gone:
            raise SessionClosed(_GONE) from error
        raise
    finally:
        client.forget()
        lease.release()


def _name_of(connection: HTTPConnection) -> str:
    """What others are told who has the board: the route, since a path may hold what is nobody's business."""
    route = getattr(connection.scope.get("route"), "path", "a request")
    return f"{connection.scope.get('method', 'WebSocket')} {route}"


class _Client:
    """Who waits for an answer: when that one goes away, the lease ends."""

    def __init__(self, lease: Lease[DeviceSession]) -> None:
        self.is_gone = False
        self._lease = lease
        self._waiting: asyncio.Timeout | None = None
        self._watching: asyncio.Task[None] | None = None

    async def watch(self, request: Request) -> None:
        """Read the body, which comes before the news that the client is gone, and wait for those from then on."""
        try:
            with contextlib.suppress(RuntimeError):  # a form, which FastAPI has read already
                await request.body()
        except ClientDisconnect:
            raise SessionClosed(_GONE) from None
        self._watching = asyncio.create_task(self._wait_for_its_end(request), name="belay_py: is the client there?")
        # From the endpoint's end on, servers say "disconnect" also for "you have answered", while background tasks may
        # still have the board; and a stream is cancelled by Starlette when its client goes. FastAPI has no public word
        # for that end: this is the stack of what has the scope of the function (fastapi/routing.py, since 0.121).
        endpoint = request.scope.get("fastapi_function_astack")
        if isinstance(endpoint, contextlib.AsyncExitStack):
            endpoint.callback(self.forget)

    async def _wait_for_its_end(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if self._waiting is not None:
            self._waiting.reschedule(asyncio.get_running_loop().time())
        self._lease.release()

    async def acquire(self) -> DeviceSession:
        """Take the lease. Raises `SessionClosed` when the client goes away before, and what the lease raises."""
        try:
            async with asyncio.timeout(None) as self._waiting:
                session = await self._lease.acquire()
        except TimeoutError:
            if self.is_gone:
                raise SessionClosed(_GONE) from None
            raise  # the lease's own
        finally:
            self._waiting = None
        if self.is_gone:  # in the same turn of the loop in which the board came
            raise SessionClosed(_GONE)
        return session

    def forget(self) -> None:
        """From now on it may go."""
        if self._watching is not None:
            self._watching.cancel()
