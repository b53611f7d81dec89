"""The blocking `DeviceSession`: each method is its asynchronous twin's, run on the loop's thread."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from belay_py.session import session as asynchronous
from belay_py.session.building import options_of
from belay_py.sync.executing import Executing
from belay_py.sync.face import ObservableFace, call
from belay_py.sync.files import Files
from belay_py.sync.functions import Functional
from belay_py.sync.loop_thread import loop_thread
from belay_py.sync.messages import Messaging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType

    from belay_py.events import Listener
    from belay_py.lifecycle import DeviceSessionState
    from belay_py.metrics import Instrument
    from belay_py.options import DeviceSessionOptions, ResetAtConnect
    from belay_py.session.info import BoardInfo
    from belay_py.session.resets import Boot
    from belay_py.session.statistics import SessionStatistics
    from belay_py.session.streaming import TextMode

_T = TypeVar("_T")


class DeviceSession(Executing, Functional, Messaging, ObservableFace):
    """The blocking `belay_py.DeviceSession`: the same options, methods and errors."""

    _ELSEWHERE = "this session belongs to the process that made it; a forked child must make its own, on another board"

    def __init__(self, port: str | DeviceSessionOptions, *, device_id: str | None = None, **options: Any) -> None:
        super().__init__()
        self._session = asynchronous.DeviceSession(port, device_id=device_id, **options)

    @classmethod
    def _over(cls, session: asynchronous.DeviceSession) -> Self:
        """The face of a session that is there."""
        face = cls.__new__(cls)
        ObservableFace.__init__(face)
        face._session = session  # noqa: SLF001  a constructor
        return face

    def __repr__(self) -> str:
        return f"<sync {repr(self._session)[1:]}"

    async def _settled(self) -> None:
        await self._session.settled()

    def _face_of(self, session: asynchronous.DeviceSession) -> DeviceSession:
        return self

    @property
    def files(self) -> Files:
        """The board's files."""
        return Files(self, self._session.files)

    @property
    def options(self) -> DeviceSessionOptions:
        """The session's options."""
        return self._session.options

    @property
    def session_id(self) -> str:
        """A name of this session that no other one has, in this or any process. Nothing is open to whoever knows it."""
        return self._session.session_id

    @property
    def device_id(self) -> str:
        """The name of the device."""
        return self._session.device_id

    @property
    def state(self) -> DeviceSessionState:
        """The session's state now."""
        return self._session.state

    @property
    def info(self) -> BoardInfo:
        """See `belay_py.DeviceSession.info`."""
        return self._session.info

    @property
    def created_at(self) -> datetime:
        """When the session was made, in UTC."""
        return self._session.created_at

    @property
    def last_used(self) -> datetime:
        """When the latest operation began or ended, in UTC."""
        return self._session.last_used

    @property
    def port(self) -> str:
        """The port that is open, or was last."""
        return self._session.port

    @property
    def generation(self) -> int:
        """Counts the connections of this session."""
        return self._session.generation

    @property
    def boot_epoch(self) -> int:
        """Counts the lives of the board's interpreter."""
        return self._session.boot_epoch

    @property
    def attached(self) -> bool | None:
        """See `belay_py.DeviceSession.attached`."""
        return self._session.attached

    @property
    def is_healthy(self) -> bool:
        """See `belay_py.DeviceSession.is_healthy`."""
        return self._session.is_healthy

    @property
    def statistics(self) -> SessionStatistics:
        """See `belay_py.DeviceSession.statistics`."""
        return self._session.statistics

    def connect(self, *, reset: ResetAtConnect | None = None) -> None:
        """See `belay_py.DeviceSession.connect`."""
        loop_thread().sessions.add(self._session)  # to be closed when the program ends
        self._run(self._session.connect(reset=reset))

    def reconnect(self, *, timeout: float | None = None) -> Boot:
        """See `belay_py.DeviceSession.reconnect`."""
        return self._run(self._session.reconnect(timeout=timeout))

    def disconnect(self) -> None:
        """See `belay_py.DeviceSession.disconnect`."""
        self._run(self._session.disconnect())

    def close(self) -> None:
        """See `belay_py.DeviceSession.close`. Does nothing in a forked child, and when the program is ending."""
        self._run_if_alive(self._session.close())

    def __enter__(self) -> Self:
        try:
            self.connect()
        except KeyboardInterrupt:
            self.disconnect()  # it may have come right after the end of connecting
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(self._session.close)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `belay_py.DeviceSession.subscribe`.

        A plain listener runs in a thread of its own for each event, one after the other, so it may block and use
        ``event.session``, which is this session. An asynchronous one runs on the loop's thread, and gets the
        asynchronous session.
        """
        return self._subscribed(self._session.subscribe, listener)

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """See `belay_py.DeviceSession.instrument`; it is called on the loop's thread, so it must not block."""
        return self._instrumented(self._session.instrument, instrument)

    def wait_for_state(self, *states: DeviceSessionState, timeout: float | None = None) -> DeviceSessionState:
        """See `belay_py.DeviceSession.wait_for_state`."""
        return self._run(self._session.wait_for_state(*states, timeout=timeout))

    @contextlib.contextmanager
    def exclusive(self, *, timeout: float | None = None) -> Iterator[Self]:
        """See `belay_py.DeviceSession.exclusive`. The block's operations are those of this thread."""
        group = self._session._group()  # noqa: SLF001  the two faces of one session
        try:
            self._run(self._session._begin(group, timeout))  # noqa: SLF001  as above
            with group.membership():
                yield self
        finally:
            self._end(lambda: call(group.end))

    @overload
    def monitor(self, *, timeout: float = math.inf, mode: TextMode = "text") -> Iterator[str]: ...

    @overload
    def monitor(self, *, timeout: float = math.inf, mode: Literal["bytes"]) -> Iterator[bytes]: ...

    def monitor(
        self, *, timeout: float = math.inf, mode: TextMode | Literal["bytes"] = "text"
    ) -> Iterator[str] | Iterator[bytes]:
        """See `belay_py.DeviceSession.monitor`. Leaving the loop early closes the port."""
        loop_thread().sessions.add(self._session)  # to be closed when the program ends
        if mode == "bytes":  # the overloads of the asynchronous one want to see the literal
            return self._iterate(self._session.monitor(timeout=timeout, mode="bytes"), b"", None)
        return self._iterate(self._session.monitor(timeout=timeout, mode=mode), b"", None)

    def interrupt(self, *, timeout: float | None = None) -> bool:
        """See `belay_py.DeviceSession.interrupt`; from another thread than the one that waits."""
        return self._run(self._session.interrupt(timeout=timeout))

    def soft_reset(self, *, timeout: float | None = None) -> Boot:
        """See `belay_py.DeviceSession.soft_reset`."""
        return self._run(self._session.soft_reset(timeout=timeout))

    def set_time(self, when: datetime | None = None, *, utc: bool = False, timeout: float | None = None) -> datetime:
        """See `belay_py.DeviceSession.set_time`."""
        return self._run(self._session.set_time(when, utc=utc, timeout=timeout))

    def hard_reset(self, *, by_lines: bool = False, timeout: float | None = None) -> Boot:
        """See `belay_py.DeviceSession.hard_reset`."""
        return self._run(self._session.hard_reset(by_lines=by_lines, timeout=timeout))


def build_session(
    profile: Mapping[str, Any] | DeviceSessionOptions,
    port: str | None = None,
    *,
    device_id: str | None = None,
    **options: Any,
) -> DeviceSession:
    """See `belay_py.build_session`."""
    return DeviceSession(options_of(profile, port, options), device_id=device_id)
