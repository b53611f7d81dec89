"""`DeviceSessionManager`: many sessions, each with one owner at a time."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from belay_py.errors import SessionClosed, SettingsError
from belay_py.manager.claims import LEASE, NO_TAGS, Claim, Kind
from belay_py.manager.closing import Closing
from belay_py.manager.instruments import install
from belay_py.manager.leaks import stack_of
from belay_py.manager.leases import Lease, LeasedSession, caller, check_timeout
from belay_py.manager.pool import Pool, Upkeep
from belay_py.options import (
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    as_tags,
    check_device_id,
    check_function,
    require,
)
from belay_py.options.checks import OPTIONS
from belay_py.options.nesting import layered
from belay_py.session.building import build_session
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from belay_py.events import Listener
    from belay_py.manager.member import Member
    from belay_py.metrics import Instrument
    from belay_py.session.session import DeviceSession


@runtime_checkable
class HasManagerOptions(Protocol):
    """Settings from files and the environment. Their class is not named here, since it loads a good deal."""

    def manager_options(self) -> DeviceSessionManagerOptions:
        """What they say."""


class DeviceSessionManager(Closing):
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
        super().__init__(Pool(self.options))

    def __repr__(self) -> str:
        plan = self._pool.plan
        leased = len(self._pool.leases)
        members = list(self._pool.members.values())  # at one go: the blocking face's repr comes from other threads
        sessions = sum(member.session is not None for member in members)
        return f"<DeviceSessionManager of {sessions} sessions, {plan.slots} of {plan.max_open} open, {leased} leases>"

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
        check_device_id(device_id)
        check_function("on_connect", on_connect)
        before = self._pool.members.get(device_id)
        chosen = self._options(device_id, port, profile, options, before)
        if before is not None and before.session is not None and not replace:
            raise _duplicate(device_id)
        if before is not None and (before.session is not None or before.place.holder is not None):
            await self._shutdown.remove(before, self.options.close_grace)
            if device_id in self._pool.members:  # somebody was faster
                raise _duplicate(device_id)
        elif before is not None:
            self._pool.forget(before)
        declared = before is not None and before.declared
        member = self._pool.add(device_id, chosen, declared=declared, on_connect=on_connect)
        session = member.make_session()
        if connect:
            self._pool.connecting[device_id] = over = asyncio.Event()
            try:
                await self._connect(member)
            except BaseException:  # it goes on
                await self._shutdown.discard(member)
                gone = device_id not in self._pool.members and not self._pool.plan.draining
                if before is not None and declared and gone:
                    self._pool.add(device_id, before.options, declared=True)
                raise
            finally:
                if self._pool.connecting.get(device_id) is over:  # else it was replaced meanwhile
                    del self._pool.connecting[device_id]
                over.set()
        return session

    async def ensure(
        self, device_id: str, port: str | DeviceSessionOptions | None = None, **options: Any
    ) -> DeviceSession:
        """Return the session of that name, made as by `create_session` if there is none.

        While somebody else makes it, this waits. Raises `SettingsError` and what connecting raises.
        """
        check_device_id(device_id)
        while (making := self._pool.connecting.get(device_id)) is not None:
            await making.wait()
        found = self.get(device_id)
        if found is None:
            return await self.create_session(device_id, port, **options)
        return found

    async def remove(self, device_id: str, *, grace: float | None = None) -> bool:
        """Close a session for good and forget its device; return whether there was one.

        Those who wait for it are told. Who has it leased gets ``grace`` seconds, by default ``close_grace``. Raises
        `SettingsError` for a ``grace`` that is no number of seconds.
        """
        self._pool.require_here()
        check_device_id(device_id)
        member = self._pool.members.get(device_id)
        if member is None:
            return False
        await self._shutdown.remove(member, self.options.close_grace if grace is None else grace)
        return True

    def build_session(
        self,
        profile: str | Mapping[str, Any] | DeviceSessionOptions,
        port: str | None = None,
        *,
        device_id: str | None = None,
        **options: Any,
    ) -> DeviceSession:
        """Make a session of its own, which the manager does not keep, with the manager's defaults and a profile.

        ``profile`` is the name of one of the settings, or a set of options; its policies are wired. Raises
        `SettingsError`.
        """
        if isinstance(profile, DeviceSessionOptions):
            return build_session(profile, port, device_id=device_id, **options)
        named = self.options.profile(profile) if isinstance(profile, str) else profile
        require("profile", named, OPTIONS)
        return build_session(layered(self.options.defaults, named), port, device_id=device_id, **options)

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
        if self._started:
            self._pool.require_process()
        else:
            self._begin()
        if tags is not None or count is not None or len(device_ids) != 1 or not isinstance(device_ids[0], str):
            _check_wanted(device_ids, tags, count)
        if timeout is None:
            timeout = self.options.lease_timeout
        else:
            check_timeout(timeout)
        claim = Claim(LEASE, device_ids, NO_TAGS if tags is None else as_tags(tags), count or 1, caller(1))
        lease: Lease[Any] = Lease(
            self._pool, claim, timeout, _one if count is None and len(device_ids) < 2 else _several
        )
        if self.options.leak_stacks:
            lease.stack = stack_of(sys._getframe(1))  # noqa: SLF001  CPython's own way to the caller
        return lease

    # -- events -------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event of each session from now on; return what ends that.

        As `DeviceSession.subscribe`.
        """
        self._pool.require_process()
        return self._pool.subscribe(listener)

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """Tell ``instrument`` of each lease, and of what each session does, from now on; return what ends that.

        As `DeviceSession.instrument`.
        """
        self._pool.require_process()
        return install(self._pool, instrument)

    # -- internals ----------------------------------------------------------------------------------------------

    def _options(
        self,
        device_id: str,
        port: str | DeviceSessionOptions | None,
        profile: str | None,
        options: dict[str, Any],
        existing: Member | None,
    ) -> DeviceSessionOptions:
        if port is None and existing is not None:
            port = existing.options
        if port is None and profile is None:
            hint = did_you_mean(device_id, self._pool.members, "the devices are")
            raise SettingsError(f"the session {device_id!r} needs a port, since no device has that name; {hint}")
        return self.options.session_options(port, options, profile)

    async def _connect(self, member: Member) -> None:
        """Connect a new session, as the manager itself, so that nobody meets it half-open."""
        deadline = self._pool.time() + min(member.options.connection_timeout, _FOR_EVER)
        claim = Claim(Kind.CALL, (member.key,), holder=caller(2))
        await self._pool.admission.admit(claim, deadline)
        if member.session is None:  # it was closed for good in the moment in which the board was handed over
            self._pool.admission.release(claim, member.key)
            raise SessionClosed(f"the session {member.key!r} was closed while it waited for its board; create it anew")
        async with Upkeep(member, claim):
            await member.make_session()._link.connect(deadline)  # noqa: SLF001  a keeper and what it keeps


_FOR_EVER = 1e9  # seconds: what is asked for as inf


def _check_wanted(device_ids: tuple[str, ...], tags: Iterable[str] | None, count: int | None) -> None:
    if tags is None and not device_ids:
        raise SettingsError("a lease needs the name of a device, or tags={...}")
    if tags is not None and device_ids:
        raise SettingsError("a lease is of devices by name, or by tags, and not both")
    for device_id in device_ids:
        check_device_id(device_id)
    if len(set(device_ids)) != len(device_ids):
        raise SettingsError(f"a lease of {', '.join(device_ids)} names a device twice")
    if count is not None and (tags is None or not isinstance(count, int) or count < 1):
        raise SettingsError(f"count is {count!r}; it must be a whole number of at least 1, and goes with tags")


def _one(sessions: list[LeasedSession]) -> DeviceSession:
    return sessions[0]


def _several(sessions: list[LeasedSession]) -> tuple[DeviceSession, ...]:
    return tuple(sessions)


def _duplicate(device_id: str) -> SettingsError:
    return SettingsError(f"there is a session {device_id!r} already; get() it, remove() it, or pass replace=True")


def _options_of(settings: object) -> DeviceSessionManagerOptions:
    if isinstance(settings, DeviceSessionManagerOptions):
        return settings
    if isinstance(settings, HasManagerOptions):
        return settings.manager_options()
    raise SettingsError(
        f"the settings are {settings!r}; pass DeviceSessionManagerOptions(...) or what load_settings() returns"
    )
