"""The blocking `DeviceSession`: each method is its asynchronous twin's, run on the loop's thread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from belay_py.errors import BelayError, SessionClosed
from belay_py.session import session as asynchronous
from belay_py.sync.loop_thread import has_ended, loop_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine, Iterator
    from datetime import datetime
    from types import TracebackType

    from belay_py.lifecycle import DeviceSessionState
    from belay_py.options import DeviceSessionOptions
    from belay_py.session.execution import ExecutionResult
    from belay_py.session.info import BoardInfo
    from belay_py.session.streaming import TextMode

_T = TypeVar("_T")


async def _next(pieces: AsyncGenerator[_T]) -> _T | None:
    """`anext` with a default, as a coroutine, which is what a task takes."""
    return await anext(pieces, None)


class DeviceSession:
    """The blocking `belay_py.DeviceSession`: the same options, methods and errors."""

    def __init__(self, port: str | DeviceSessionOptions, *, device_id: str | None = None, **options: Any) -> None:
        self._session = asynchronous.DeviceSession(port, device_id=device_id, **options)
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<sync {repr(self._session)[1:]}"

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._process != os.getpid():
            coroutine.close()
            raise BelayError(
                "this session belongs to the process that made it; a forked child must make its own, on another board"
            )
        thread = loop_thread()
        if thread.ended:
            coroutine.close()
            raise SessionClosed("the program is ending, and its sessions were closed; use them before that")
        return thread.run(coroutine, settle=self._session.settled)

    def _run_if_alive(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """For endings: in a forked child, and while the program ends, there is nothing left to end."""
        if self._process != os.getpid() or has_ended():
            coroutine.close()
        else:
            self._run(coroutine)

    @property
    def options(self) -> DeviceSessionOptions:
        """The session's options."""
        return self._session.options

    @property
    def session_id(self) -> str:
        """A secret, unique name of this session."""
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
    def generation(self) -> int:
        """Counts the connections of this session."""
        return self._session.generation

    @property
    def boot_epoch(self) -> int:
        """Counts the lives of the board's interpreter."""
        return self._session.boot_epoch

    def connect(self) -> None:
        """See `belay_py.DeviceSession.connect`."""
        loop_thread().sessions.add(self._session)  # to be closed when the program ends
        self._run(self._session.connect())

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
        try:
            self.close()
        except KeyboardInterrupt:
            self.close()  # it may have come before the first one began
            raise

    def execute(self, code: str | bytes, *, timeout: float | None = None) -> ExecutionResult:
        """See `belay_py.DeviceSession.execute`."""
        return self._run(self._session.execute(code, timeout=timeout))

    @overload
    def evaluate(self, code: str | bytes, *, returns: type[_T], timeout: float | None = None) -> _T: ...

    @overload
    def evaluate(self, code: str | bytes, *, returns: Any = None, timeout: float | None = None) -> Any: ...

    def evaluate(self, code: str | bytes, *, returns: Any = None, timeout: float | None = None) -> Any:
        """See `belay_py.DeviceSession.evaluate`."""
        return self._run(self._session.evaluate(code, returns=returns, timeout=timeout))

    @overload
    def stream(self, code: str | bytes, *, timeout: float | None = None, mode: TextMode = "text") -> Iterator[str]: ...

    @overload
    def stream(self, code: str | bytes, *, timeout: float | None = None, mode: Literal["bytes"]) -> Iterator[bytes]: ...

    def stream(
        self, code: str | bytes, *, timeout: float | None = None, mode: TextMode | Literal["bytes"] = "text"
    ) -> Iterator[str] | Iterator[bytes]:
        """See `belay_py.DeviceSession.stream`. Leaving the loop early stops the board."""
        if mode == "bytes":  # the overloads of the asynchronous one want to see the literal
            return self._iterate(self._session.stream(code, timeout=timeout, mode="bytes"))
        return self._iterate(self._session.stream(code, timeout=timeout, mode=mode))

    def _iterate(self, pieces: AsyncGenerator[_T]) -> Iterator[_T]:
        try:
            while (piece := self._run(_next(pieces))) is not None:
                yield piece
        finally:
            self._run_if_alive(pieces.aclose())

    def interrupt(self, *, timeout: float | None = None) -> bool:
        """See `belay_py.DeviceSession.interrupt`; from another thread than the one that waits."""
        return self._run(self._session.interrupt(timeout=timeout))

    def soft_reset(self, *, timeout: float | None = None) -> str:
        """See `belay_py.DeviceSession.soft_reset`."""
        return self._run(self._session.soft_reset(timeout=timeout))
