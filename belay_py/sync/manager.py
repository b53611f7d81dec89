"""The blocking `DeviceSessionManager`: each method is its asynchronous twin's, run on the loop's thread."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Self, overload
from weakref import WeakValueDictionary

from belay_py.manager import manager as asynchronous
from belay_py.manager.leaks import stack_of
from belay_py.manager.leases import caller
from belay_py.manager.signals import DEFAULT_SIGNALS, BlockingSignalHandling
from belay_py.sync.face import ObservableFace, call
from belay_py.sync.leases import Lease, preparing
from belay_py.sync.session import DeviceSession, build_session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from belay_py.errors import BelayError
    from belay_py.events import Listener
    from belay_py.journal import LeftBehind
    from belay_py.lifecycle import DeviceSessionState
    from belay_py.manager.health import ManagerHealth
    from belay_py.manager.manager import HasManagerOptions
    from belay_py.manager.shutdown import ManagerState
    from belay_py.manager.statistics import ManagerStatistics
    from belay_py.manager.warming import Progress
    from belay_py.metrics import Instrument
    from belay_py.options import DeviceSessionManagerOptions, DeviceSessionOptions
    from belay_py.session import session as asynchronous_session


class DeviceSessionManager(ObservableFace):
    """The blocking `belay_py.DeviceSessionManager`: the same options, methods and errors, from any thread.

    A lease belongs to the thread that takes it; the session that it yields may be used in others too. What is still
    open when the program ends is closed then.
    """

    _ELSEWHERE = "this manager belongs to the process that made it; a forked child must make its own, for other boards"

    def __init__(self, settings: DeviceSessionManagerOptions | HasManagerOptions | None = None, **options: Any) -> None:
        """See `belay_py.DeviceSessionManager`."""
        super().__init__()
        self._manager = asynchronous.DeviceSessionManager(settings, **options)
        self._faces: WeakValueDictionary[str, DeviceSession] = WeakValueDictionary()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<sync {repr(self._manager)[1:]}"

    def _face_of(self, session: asynchronous_session.DeviceSession) -> DeviceSession:
        """The same one each time, as long as somebody has it."""
        with self._lock:
            face = self._faces.get(session.session_id)
            if face is None:
                face = self._faces[session.session_id] = DeviceSession._over(session)  # noqa: SLF001  the same package
            return face

    def _faces_of(self, sessions: Iterable[asynchronous_session.DeviceSession]) -> list[DeviceSession]:
        return [self._face_of(session) for session in sessions]

    @property
    def options(self) -> DeviceSessionManagerOptions:
        """The manager's options."""
        return self._manager.options

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """See `belay_py.DeviceSessionManager.start`."""
        self._run(self._manager.start())

    def close(self, grace: float | None = None) -> None:
        """See `belay_py.DeviceSessionManager.close`. Does nothing in a forked child, and when the program is ending."""
        self._run_if_alive(self._manager.close(grace))

    def hand_over(self, grace: float | None = None) -> None:
        """See `belay_py.DeviceSessionManager.hand_over`."""
        self._run(self._manager.hand_over(grace))

    @property
    def state(self) -> ManagerState:
        """See `belay_py.DeviceSessionManager.state`."""
        return self._manager.state

    def add_cleanup(
        self, name: str, callback: Callable[[], object] | Callable[[], Awaitable[object]], *, timeout: float = 5.0
    ) -> Callable[[], None]:
        """See `belay_py.DeviceSessionManager.add_cleanup`; what it returns may be called in any thread."""
        take_out = self._run(call(lambda: self._manager.add_cleanup(name, callback, timeout=timeout)))
        return lambda: self._run_if_alive(call(take_out))

    def handle_signals(
        self, signals: Iterable[int] = DEFAULT_SIGNALS, *, grace: float | None = None
    ) -> BlockingSignalHandling:
        """See `belay_py.DeviceSessionManager.handle_signals`; for a ``with`` block, in the main thread."""
        self.start()
        seconds = self.options.close_grace if grace is None else grace
        return BlockingSignalHandling(self._manager._shutdown, signals, seconds)  # noqa: SLF001  the two faces of one

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(self._manager.close)

    # -- sessions by their names --------------------------------------------------------------------------------

    def create_session(
        self,
        device_id: str,
        port: str | DeviceSessionOptions | None = None,
        *,
        profile: str | None = None,
        replace: bool = False,
        connect: bool = True,
        on_connect: Callable[[DeviceSession], object]
        | Callable[[asynchronous_session.DeviceSession], Awaitable[object]]
        | None = None,
        **options: Any,
    ) -> DeviceSession:
        """See `belay_py.DeviceSessionManager.create_session`.

        A plain ``on_connect`` runs in a thread and gets a blocking session, for its own length; an asynchronous one
        runs on the loop's thread and gets the asynchronous session.
        """
        making = self._manager.create_session(
            device_id,
            port,
            profile=profile,
            replace=replace,
            connect=connect,
            on_connect=None if on_connect is None else preparing(on_connect),
            **options,
        )
        return self._face_of(self._run(making))

    def ensure(self, device_id: str, port: str | DeviceSessionOptions | None = None, **options: Any) -> DeviceSession:
        """See `belay_py.DeviceSessionManager.ensure`; ``on_connect`` is as for `create_session`."""
        if options.get("on_connect") is not None:
            options["on_connect"] = preparing(options["on_connect"])
        return self._face_of(self._run(self._manager.ensure(device_id, port, **options)))

    def build_session(
        self,
        profile: str | Mapping[str, Any] | DeviceSessionOptions,
        port: str | None = None,
        *,
        device_id: str | None = None,
        **options: Any,
    ) -> DeviceSession:
        """See `belay_py.DeviceSessionManager.build_session`."""
        built = self._manager.build_session(profile, port, device_id=device_id, **options)
        return build_session(built.options, device_id=built.device_id)

    def get(self, device_id: str) -> DeviceSession | None:
        """See `belay_py.DeviceSessionManager.get`."""
        found: asynchronous_session.DeviceSession | None = self._run(call(self._manager.get, device_id))
        return None if found is None else self._face_of(found)

    def __getitem__(self, device_id: str) -> DeviceSession:
        """The session of that name, made if the settings have such a device. Raises `DeviceNotFound`."""
        return self._face_of(self._run(call(self._manager.__getitem__, device_id)))

    def __contains__(self, device_id: object) -> bool:
        return bool(self._run(call(self._manager.__contains__, device_id)))

    def __len__(self) -> int:
        return len(self.ids())

    def __iter__(self) -> Iterator[DeviceSession]:
        """The sessions, in the order in which their devices became known."""
        return iter(self._faces_of(self._run(call(list, self._manager))))

    def ids(self) -> tuple[str, ...]:
        """See `belay_py.DeviceSessionManager.ids`."""
        found: tuple[str, ...] = self._run(call(self._manager.ids))
        return found

    def devices(self) -> tuple[str, ...]:
        """See `belay_py.DeviceSessionManager.devices`."""
        found: tuple[str, ...] = self._run(call(self._manager.devices))
        return found

    def remove(self, device_id: str, *, grace: float | None = None) -> bool:
        """See `belay_py.DeviceSessionManager.remove`."""
        return bool(self._run(self._manager.remove(device_id, grace=grace)))

    def sessions_by_last_used(self) -> list[DeviceSession]:
        """See `belay_py.DeviceSessionManager.sessions_by_last_used`."""
        return self._faces_of(self._run(call(self._manager.sessions_by_last_used)))

    def idle_sessions(self, older_than: float = 0.0) -> list[DeviceSession]:
        """See `belay_py.DeviceSessionManager.idle_sessions`."""
        return self._faces_of(self._run(call(self._manager.idle_sessions, older_than)))

    def find(
        self,
        *,
        tags: Iterable[str] = (),
        port: str | None = None,
        identity: str | None = None,
        state: DeviceSessionState | None = None,
    ) -> list[DeviceSession]:
        """See `belay_py.DeviceSessionManager.find`."""

        def find() -> list[asynchronous_session.DeviceSession]:
            return self._manager.find(tags=tags, port=port, identity=identity, state=state)

        return self._faces_of(self._run(call(find)))

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
        """See `belay_py.DeviceSessionManager.lease`; for a ``with`` block, whose thread it belongs to."""
        make: Any = self._manager.lease  # its overloads are those above
        lease = self._run(call(lambda: make(*device_ids, tags=tags, count=count, timeout=timeout)))
        lease.claim.holder = caller(1)
        if self.options.leak_stacks:
            lease.stack = stack_of(sys._getframe(1))  # noqa: SLF001  CPython's own way to the caller
        return Lease(lease)

    # -- how it is, and what it does by itself, done by hand ----------------------------------------------------

    def statistics(self) -> ManagerStatistics:
        """See `belay_py.DeviceSessionManager.statistics`."""
        return self._manager.statistics()

    def health(self) -> ManagerHealth:
        """See `belay_py.DeviceSessionManager.health`."""
        found: ManagerHealth = self._run(self._manager.health())
        return found

    def cleanup(self) -> int:
        """See `belay_py.DeviceSessionManager.cleanup`."""
        count: int = self._run(self._manager.cleanup())
        return count

    def warm_up(self, *device_ids: str, progress: Progress | None = None) -> dict[str, BelayError]:
        """See `belay_py.DeviceSessionManager.warm_up`; ``progress`` runs on the loop's thread, so it must not block."""
        errors: dict[str, BelayError] = self._run(self._manager.warm_up(*device_ids, progress=progress))
        return errors

    @property
    def found(self) -> tuple[LeftBehind, ...]:
        """See `belay_py.DeviceSessionManager.found`."""
        return self._manager.found

    def take_over(self, *device_ids: str, timeout: float | None = None) -> None:
        """See `belay_py.DeviceSessionManager.take_over`."""
        self._run(self._manager.take_over(*device_ids, timeout=timeout))

    def release_quarantine(self, device_id: str) -> bool:
        """See `belay_py.DeviceSessionManager.release_quarantine`."""
        return bool(self._run(call(self._manager.release_quarantine, device_id)))

    # -- events -------------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `belay_py.DeviceSessionManager.subscribe`.

        Plain listeners run in threads and get blocking sessions, as with `DeviceSession.subscribe`; asynchronous ones
        run on the loop's thread and get the asynchronous ones.
        """
        return self._subscribed(self._manager.subscribe, listener)

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """See `belay_py.DeviceSessionManager.instrument`; it is called on the loop's thread, so it must not block."""
        return self._instrumented(self._manager.instrument, instrument)
