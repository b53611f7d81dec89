"""The blocking `Lease`, and what prepares boards in a thread."""

from __future__ import annotations

import contextvars
import functools
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from belay_py.errors import SessionClosed
from belay_py.manager.leases import LeasedSession
from belay_py.options import check_function
from belay_py.session.group import innermost
from belay_py.sync.face import Face, in_a_thread, is_asynchronous
from belay_py.sync.session import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.manager import leases as asynchronous
    from belay_py.session import session as asynchronous_session

_T = TypeVar("_T")


class Lease(Face, Generic[_T]):
    """The blocking `belay_py.Lease`. It belongs to the thread that takes it.

    The sessions that it yields may be used in other threads too.
    """

    _ELSEWHERE = "this lease belongs to the process that took it; a forked child must make a manager of its own"

    def __init__(self, lease: asynchronous.Lease[Any]) -> None:
        super().__init__()
        self._lease = lease

    def __repr__(self) -> str:
        return f"<sync {repr(self._lease)[1:]}"

    @property
    def lease_id(self) -> int:
        """See `belay_py.Lease.lease_id`."""
        return self._lease.lease_id

    @property
    def stack(self) -> str:
        """See `belay_py.Lease.stack`."""
        return self._lease.stack

    def __enter__(self) -> _T:
        return self.acquire()

    def __exit__(self, *ending: object) -> None:
        self.release()

    def acquire(self) -> _T:
        """See `belay_py.Lease.acquire`. This thread's calls on the manager's own sessions belong to the lease then."""
        fresh = not self._lease.lease_id
        try:
            sessions, context = self._run(self._acquire())
            _come_back(context)
            if isinstance(sessions, tuple):
                return tuple(map(_face, sessions))  # type: ignore[return-value]  # as the asynchronous one has it
            return _face(sessions)  # type: ignore[return-value]  # as above
        except BaseException:  # it goes on
            if fresh:
                self.release()  # Ctrl-C may have come right after it was granted
            raise

    def release(self) -> None:
        """See `belay_py.Lease.release`. Does nothing in a forked child, and when the program is ending."""
        contexts: list[contextvars.Context] = []

        async def release() -> None:
            self._lease.release()
            contexts.append(contextvars.copy_context())

        try:
            self._end(release)
        finally:
            for context in contexts[:1]:
                _come_back(context)

    async def _acquire(self) -> tuple[Any, contextvars.Context]:
        return await self._lease.acquire(), contextvars.copy_context()


def _come_back(context: contextvars.Context) -> None:
    """Take what a call has set in its context variables into this thread's, as if it had been awaited here.

    That is the group of operations that a lease is, and the span that a tracer has begun for it.
    """
    for variable, value in context.items():
        if variable.get(None) is not value:
            variable.set(value)


def _face(session: LeasedSession) -> DeviceSession:
    return DeviceSession._over(session)  # noqa: SLF001  the same package


def preparing(
    on_connect: Callable[[DeviceSession], object] | Callable[[asynchronous_session.DeviceSession], Awaitable[object]],
) -> Callable[[asynchronous_session.DeviceSession], Awaitable[object]]:
    """Return what prepares a board by ``on_connect``: plain, it runs in a thread and gets the blocking session.

    Raises `SettingsError` for what cannot be called.
    """
    check_function("on_connect", on_connect)
    if is_asynchronous(on_connect):
        return on_connect  # type: ignore[return-value]  # it was looked at

    plain: Callable[[Any], object] = on_connect

    async def prepare(session: asynchronous_session.DeviceSession) -> None:
        group = innermost()
        assert group is not None, "a board is prepared by operations that belong together"
        seat = _PreparedSession(session, group)
        seat._lease_setups = session._functions  # noqa: SLF001  what on_connect sets up is the session's
        work = functools.partial(contextvars.copy_context().run, plain, _face(seat))
        # Cancelled, it leaves the thread behind, nothing of which reaches the board any more: its group is over then.
        await in_a_thread(work, name=f"belay on_connect {session.device_id} {id(on_connect):x}")

    return prepare


class _PreparedSession(LeasedSession):
    def _require_lease(self) -> None:
        if not self._lease_group.is_open:
            raise SessionClosed(
                f"on_connect of {self.device_id!r} is over, or took longer than there was time for connecting; "
                "its session is for its own length only"
            )
