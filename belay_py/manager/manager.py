"""`DeviceSessionManager`: many sessions, each with one owner at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, overload, runtime_checkable

from belay_py.errors import SettingsError
from belay_py.manager.leases import Lease, LeasedSession, caller
from belay_py.manager.plan import Claim, Kind
from belay_py.manager.pool import Pool, Upkeep
from belay_py.manager.shutdown import Shutdown
from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions, as_tags
from belay_py.session.observable import Observable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from types import TracebackType

    from belay_py.events import Listener
    from belay_py.lifecycle import DeviceSessionState
    from belay_py.manager.member import Member
    from belay_py.session.session import DeviceSession


@runtime_checkable
class HasManagerOptions(Protocol):
    """Settings from files and the environment. Their class is not named here, since it loads a good deal."""

    def manager_options(self) -> DeviceSessionManagerOptions:
        """What they say."""


class DeviceSessionManager(Observable):
    """Keeps sessions for an application: made once, found by name, leased, watched, and closed when nobody uses them.

    A session that the manager made belongs to whoever leases it. Each call outside of a lease takes one for its own
    length: it waits while somebody else has the board, and raises `DeviceBusy` at its deadline. A session that is not
    connected is connected by its next use.

    For one event loop; `belay_py.sync` has the blocking one.
    """

    def __init__(self, settings: DeviceSessionManagerOptions | HasManagerOptions | None = None, **options: Any) -> None:
        """Make a manager; nothing is opened. ``options`` are those of `DeviceSessionManagerOptions`.

        Raises `SettingsError`.
        """
        base = None if settings is None else _options_of(settings)
        self.options = DeviceSessionManagerOptions.build(options, base)
        self._pool = Pool(self.options)
        self._shutdown = Shutdown(self._pool)
        self._started = False

    def __repr__(self) -> str:
        plan = self._pool.plan
        leased = len(self._pool.leases)
        return f"<DeviceSessionManager of {len(self)} sessions, {plan.slots} of {plan.max_open} open, {leased} leases>"

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Make the devices of the settings known, and begin to watch. The first use does it too."""
        self._begin()

    def _begin(self) -> None:
        self._pool.require_here()
        if self._started:
            return
        self._started = True
        for key, options in self.options.devices.items():
            self._pool.add(key, options, declared=True)

    async def close(self, grace: float | None = None) -> None:
        """End all leases and sessions, for good. Safe in any state and any number of times.

        New leases are refused at once, and those who wait are; leases that are held get ``grace`` seconds, by default
        ``close_grace``, to end by themselves. A caller that is cancelled leaves it going on.
        """
        await self._shutdown.close(self.options.close_grace if grace is None else grace)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- sessions by their names --------------------------------------------------------------------------------

    async def create_session(
        self,
        device_id: str,
        port: str | DeviceSessionOptions | None = None,
        *,
        profile: str | None = None,
        replace: bool = False,
        connect: bool = True,
        on_connect: Callable[[DeviceSession], Awaitable[object]] | None = None,
        **options: Any,
    ) -> DeviceSession:
        """Make a session, and connect it unless ``connect`` is False.

        ``port`` is a port or whole options; without one, ``device_id`` is a device of the settings. ``profile`` names
        a set of options of the settings. ``on_connect`` prepares the board after each connect, before anybody gets it.
        A session of that name that is there already is an error, or closed first with ``replace``. When the first
        connect fails, nothing stays and the name is free. Raises `SettingsError` and what connecting raises.
        """
        self._begin()
        _check_name(device_id)
        existing = self._pool.members.get(device_id)
        if existing is not None and existing.session is not None:
            if not replace:
                raise SettingsError(
                    f"there is a session {device_id!r} already; get() it, remove() it, or pass replace=True"
                )
            chosen = self._options(device_id, port, profile, options, existing)
            await self._shutdown.remove(existing, self.options.close_grace)
            existing = self._pool.members.get(device_id)
        else:
            chosen = self._options(device_id, port, profile, options, existing)
        if existing is not None:
            self._pool.forget(existing)
        declared = existing is not None and existing.declared
        member = self._pool.add(device_id, chosen, declared=declared, on_connect=on_connect)
        session = member.make_session()
        if connect:
            try:
                await self._connect(member)
            except BaseException:
                await self._shutdown.discard(member)
                raise
        return session

    async def ensure(
        self, device_id: str, port: str | DeviceSessionOptions | None = None, **options: Any
    ) -> DeviceSession:
        """Return the session of that name, made as by `create_session` if there is none.

        Raises `SettingsError` and what connecting raises.
        """
        found = self.get(device_id)
        if found is None:
            return await self.create_session(device_id, port, **options)
        return found

    def get(self, device_id: str) -> DeviceSession | None:
        """Return the session of that name, which counts as used now; None if there is none."""
        self._begin()
        member = self._pool.members.get(device_id)
        if member is None or member.session is None:
            return None
        self._pool.plan.touch(device_id, self._pool.time())
        return member.session

    def __getitem__(self, device_id: str) -> DeviceSession:
        """The session of that name, made if the settings have such a device. Raises `DeviceNotFound`."""
        self._begin()
        member = self._pool.member(device_id)
        self._pool.plan.touch(device_id, self._pool.time())
        return member.make_session()

    def __contains__(self, device_id: object) -> bool:
        return any(session.device_id == device_id for session in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[DeviceSession]:
        """The sessions, in the order in which their devices became known."""
        return iter([member.session for member in self._pool.members.values() if member.session is not None])

    def ids(self) -> tuple[str, ...]:
        """The names of the sessions."""
        return tuple(session.device_id for session in self)

    def devices(self) -> tuple[str, ...]:
        """The names of all devices that are known, with a session or without."""
        self._begin()
        return tuple(self._pool.members)

    async def remove(self, device_id: str, *, grace: float | None = None) -> bool:
        """Close a session for good and forget its device; return whether there was one.

        Those who wait for it are told. Who has it leased gets ``grace`` seconds, by default ``close_grace``.
        """
        member = self._pool.members.get(device_id)
        if member is None:
            return False
        await self._shutdown.remove(member, self.options.close_grace if grace is None else grace)
        return True

    def sessions_by_last_used(self) -> list[DeviceSession]:
        """The sessions, those that were not used for longest first."""
        places = self._pool.plan.places
        return sorted(self, key=lambda session: places[session.device_id].last_used)

    def idle_sessions(self, older_than: float = 0.0) -> list[DeviceSession]:
        """The connected sessions that nobody has and nobody used for ``older_than`` seconds, longest unused first."""
        now, places = self._pool.time(), self._pool.plan.places
        return [
            session
            for session in self.sessions_by_last_used()
            if (place := places[session.device_id]).open
            and place.holder is None
            and now - place.last_used >= older_than
        ]

    def find(
        self,
        *,
        tags: Iterable[str] = (),
        port: str | None = None,
        identity: str | None = None,
        state: DeviceSessionState | None = None,
    ) -> list[DeviceSession]:
        """The sessions that fit all that is named. ``identity`` is a board's ``unique_id``."""
        wanted = as_tags(tags)
        return [
            session
            for session in self
            if wanted <= session.options.tags
            and port in (None, session.options.port)
            and state in (None, session.state)
            and (identity is None or self._pool.members[session.device_id].unique_id == identity)
        ]

    # -- leases -------------------------------------------------------------------------------------------------

    @overload
    def lease(self, device_id: str, /, *, timeout: float | None = None) -> Lease[DeviceSession]: ...

    @overload
    def lease(
        self, device_id: str, second: str, /, *more: str, timeout: float | None = None
    ) -> Lease[tuple[DeviceSession, ...]]: ...

    @overload
    def lease(self, *, tags: Iterable[str], timeout: float | None = None) -> Lease[DeviceSession]: ...

    @overload
    def lease(
        self, *, tags: Iterable[str], count: int, timeout: float | None = None
    ) -> Lease[tuple[DeviceSession, ...]]: ...

    def lease(
        self,
        *device_ids: str,
        tags: Iterable[str] | None = None,
        count: int | None = None,
        timeout: float | None = None,
    ) -> Lease[DeviceSession] | Lease[tuple[DeviceSession, ...]]:
        """The right to use a board for the length of an ``async with`` block, which yields its session.

        Of one board by name, or of any free one that has all ``tags``; of several by their names, or ``count`` that
        have the tags, all or none: those are yielded as a tuple. ``timeout`` is seconds for waiting, connecting and
        checking together, by default ``lease_timeout``. Entering raises `DeviceBusy` when they are not free in time,
        `TooManyWaiters`, `DeviceNotFound`, `CircuitOpen`, `SessionClosed` when the manager closes, and what connecting
        raises.
        """
        if not self._started:
            self._begin()
        if tags is None and not device_ids:
            raise SettingsError("a lease needs the name of a device, or tags={...}")
        if tags is not None and device_ids:
            raise SettingsError("a lease is of devices by name, or by tags, and not both")
        if len(set(device_ids)) != len(device_ids):
            raise SettingsError(f"a lease of {', '.join(device_ids)} names a device twice")
        if count is not None and (tags is None or not isinstance(count, int) or count < 1):
            raise SettingsError(f"count is {count!r}; it must be a whole number of at least 1, and goes with tags")
        seconds = self.options.lease_timeout if timeout is None else timeout
        if not isinstance(seconds, int | float) or not seconds >= 0:
            raise SettingsError(f"timeout is {timeout!r}; it must be a number of seconds, 0 or more")
        claim = Claim(
            Kind.LEASE, device_ids, frozenset() if tags is None else as_tags(tags), count or 1, holder=caller(1)
        )
        seconds = min(seconds, _FOR_EVER)
        if count is None and len(device_ids) < 2:
            return Lease(self._pool, claim, seconds, _one)
        return Lease(self._pool, claim, seconds, _several)

    # -- events -------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of each session from now on; return what ends that.

        As `DeviceSession.subscribe`.
        """
        return self._pool.subscribe(listener)

    # -- internals ----------------------------------------------------------------------------------------------

    def _options(
        self,
        device_id: str,
        port: str | DeviceSessionOptions | None,
        profile: str | None,
        options: dict[str, Any],
        existing: Member | None,
    ) -> DeviceSessionOptions:
        if port is None:
            if existing is None:
                known = ", ".join(self._pool.members) or "none"
                raise SettingsError(
                    f"the session {device_id!r} needs a port: the settings have no such device, they have {known}"
                )
            port = existing.options
        return self.options.session_options(port, options, profile)

    async def _connect(self, member: Member) -> None:
        """Connect a new session, as the manager itself, so that nobody meets it half-open."""
        deadline = self._pool.time() + min(member.options.connection_timeout, _FOR_EVER)
        claim = Claim(Kind.CALL, (member.key,), holder=caller(2))
        await self._pool.admission.admit(claim, deadline)
        async with Upkeep(member, claim):
            await member.make_session()._link.connect(deadline)  # noqa: SLF001  a keeper and what it keeps


_FOR_EVER = 1e9  # seconds: what is asked for as inf


def _one(sessions: list[LeasedSession]) -> DeviceSession:
    return sessions[0]


def _several(sessions: list[LeasedSession]) -> tuple[DeviceSession, ...]:
    return tuple(sessions)


def _check_name(device_id: object) -> None:
    if not isinstance(device_id, str) or not device_id:
        raise SettingsError(f"device_id is {device_id!r}; it must be text, the name of the device")


def _options_of(settings: object) -> DeviceSessionManagerOptions:
    if isinstance(settings, DeviceSessionManagerOptions):
        return settings
    if isinstance(settings, HasManagerOptions):
        return settings.manager_options()
    raise SettingsError(
        f"the settings are {settings!r}; pass DeviceSessionManagerOptions(...) or what load_settings() returns"
    )
