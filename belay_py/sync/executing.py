"""What of the blocking `DeviceSession` runs code."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from belay_py.errors import ExecutionError
from belay_py.session.many import listed, placed
from belay_py.session.snippets import find_source
from belay_py.session.tracebacks import locate
from belay_py.sync.face import Face

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator
    from pathlib import Path

    from belay_py.session import session as asynchronous
    from belay_py.session.execution import ExecutionResult
    from belay_py.session.stdin import StdinSource
    from belay_py.session.streaming import TextMode

_T = TypeVar("_T")


async def next_or_none(pieces: AsyncGenerator[_T]) -> _T | None:
    """`anext` with a default, as a coroutine, which is what a task takes."""
    return await anext(pieces, None)


@contextlib.contextmanager
def located(code: str | bytes, filename: str | Path | None) -> Iterator[None]:
    """Put the host's places into an error here: the caller is on this thread's stack, not on the loop's."""
    try:
        yield
    except ExecutionError as error:
        locate(error, find_source(code, filename))
        raise


class Executing(Face):
    """Running code on a session's board: each method is its asynchronous twin's."""

    _session: asynchronous.DeviceSession

    def execute(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        idempotent: bool = False,
    ) -> ExecutionResult:
        """See `belay_py.DeviceSession.execute`."""
        execute = self._session.execute
        with located(code, filename):
            return self._run(execute(code, timeout=timeout, stdin=stdin, filename=filename, idempotent=idempotent))

    @overload
    def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: Literal[True] = True,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult]: ...

    @overload
    def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: bool,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult | ExecutionError]: ...

    def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: bool = True,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult] | list[ExecutionResult | ExecutionError]:
        """See `belay_py.DeviceSession.execute_many`."""
        codes = listed(snippets)
        execute_many = self._session.execute_many
        with placed(codes) as place:
            return place(
                self._run(execute_many(codes, stop_on_error=stop_on_error, timeout=timeout, idempotent=idempotent))
            )

    def run(
        self,
        file: str | Path,
        *,
        timeout: float | None = None,
        stdin: StdinSource | None = None,
        idempotent: bool = False,
    ) -> ExecutionResult:
        """See `belay_py.DeviceSession.run`."""
        return self._run(self._session.run(file, timeout=timeout, stdin=stdin, idempotent=idempotent))

    @overload
    def evaluate(
        self, code: str | bytes, *, returns: type[_T], timeout: float | None = None, idempotent: bool = False
    ) -> _T: ...

    @overload
    def evaluate(
        self, code: str | bytes, *, returns: Any = None, timeout: float | None = None, idempotent: bool = False
    ) -> Any: ...

    def evaluate(
        self, code: str | bytes, *, returns: Any = None, timeout: float | None = None, idempotent: bool = False
    ) -> Any:
        """See `belay_py.DeviceSession.evaluate`."""
        with located(code, None):
            return self._run(self._session.evaluate(code, returns=returns, timeout=timeout, idempotent=idempotent))

    @overload
    def stream(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        mode: TextMode = "text",
    ) -> Iterator[str]: ...

    @overload
    def stream(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        mode: Literal["bytes"],
    ) -> Iterator[bytes]: ...

    def stream(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        mode: TextMode | Literal["bytes"] = "text",
    ) -> Iterator[str] | Iterator[bytes]:
        """See `belay_py.DeviceSession.stream`. Leaving the loop early stops the board."""
        stream, given = self._session.stream, {"timeout": timeout, "idle_timeout": idle_timeout}
        if mode == "bytes":  # the overloads of the asynchronous one want to see the literal
            pieces = stream(code, **given, stdin=stdin, filename=filename, mode="bytes")
            return self._iterate(pieces, code, filename)
        return self._iterate(stream(code, **given, stdin=stdin, filename=filename, mode=mode), code, filename)

    def _iterate(self, pieces: AsyncGenerator[_T], code: str | bytes, filename: str | Path | None) -> Iterator[_T]:
        try:
            with located(code, filename):
                while (piece := self._run(next_or_none(pieces))) is not None:
                    yield piece
        finally:
            self._close_pieces(pieces)
