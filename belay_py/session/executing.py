"""What of `DeviceSession` runs code: statements, files of the host, expressions for their values, streams of output."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from belay_py.errors import ExecutionError
from belay_py.metrics import observed_pieces
from belay_py.options import check_path
from belay_py.session import streaming
from belay_py.session.execution import ExecutionResult, encode_code, read_code
from belay_py.session.instrumented import Instrumented
from belay_py.session.snippets import find_source
from belay_py.session.stdin import Stdin, can_be_fed_again
from belay_py.session.tracebacks import locate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from belay_py.options import DeviceSessionOptions
    from belay_py.session.evaluation import Evaluations
    from belay_py.session.operations import Operations
    from belay_py.session.stdin import StdinSource
    from belay_py.session.streaming import TextMode

_T = TypeVar("_T")


class Executing(Instrumented):
    """Running code on a session's board."""

    options: DeviceSessionOptions
    _operations: Operations
    _evaluations: Evaluations

    async def execute(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        idempotent: bool = False,
    ) -> ExecutionResult:
        """Run code on the board and return what it wrote.

        ``timeout`` is seconds for everything, waiting for other operations included; None takes
        ``operation_timeout``, and ``math.inf`` means that a person watches. ``stdin`` is what the code can read while
        it runs: bytes, text (each line end is the Enter key), an open file or an asynchronous iterator. ``filename``
        is the host's file that the code came from, for tracebacks. ``idempotent`` says that the option ``retry`` may
        run it twice. Raises `ExecutionError` (the device's exception; a `CodeTooLarge` where the code did not fit),
        `SessionTimeout`, `Interrupted`, `BoardWasReset`, `Disconnected`, `OutcomeUnknown`, `ProtocolViolation`,
        `InvalidCode`, `SettingsError`, `SessionClosed`, or, under policies, `CircuitOpen` or `RateLimited`.
        """
        if filename is not None:
            check_path("filename", filename)
        try:
            source = encode_code(code)
            if self._guard is None and not self._standing.instruments:  # at once: there is nothing around it
                return await self._operations.run(source, timeout, self._stdin(stdin))
            return await self._around(
                "execute",
                lambda left: self._operations.run(source, left, self._stdin(stdin)),
                timeout,
                idempotent=idempotent,
                once=not can_be_fed_again(stdin),
            )
        except ExecutionError as error:
            locate(error, find_source(code, filename))
            raise

    async def run(
        self,
        file: str | Path,
        *,
        timeout: float | None = None,
        stdin: StdinSource | None = None,
        idempotent: bool = False,
    ) -> ExecutionResult:
        """Run a file of the host on the board, without storing it there; tracebacks name it.

        The options are as for `execute`. Raises what that raises, and `InvalidCode` for a file that cannot be read.
        """
        return await self.execute(read_code(file), timeout=timeout, stdin=stdin, filename=file, idempotent=idempotent)

    @overload
    async def evaluate(
        self, code: str | bytes, *, returns: type[_T], timeout: float | None = None, idempotent: bool = False
    ) -> _T: ...

    @overload
    async def evaluate(
        self, code: str | bytes, *, returns: Any = None, timeout: float | None = None, idempotent: bool = False
    ) -> Any: ...

    async def evaluate(
        self, code: str | bytes, *, returns: Any = None, timeout: float | None = None, idempotent: bool = False
    ) -> Any:
        """Run code that ends in an expression and return that expression's value, exactly; names stay on the board.

        Numbers, str, bytes, None and most of what is built of them; docs/values.md lists the types. ``returns`` is what
        pydantic is to make of it: a type, dataclass, TypedDict, NamedTuple, model, generic or union. ``timeout`` and
        ``idempotent`` are as for `execute`. Raises what `execute` raises, `ValueNotSupported` for other values,
        `UnexpectedValue` for those that are not what ``returns`` says, and `SettingsError` where that is no type.
        """
        try:
            if self._guard is None and not self._standing.instruments:
                return await self._evaluations.evaluate(code, returns, timeout)
            return await self._around(
                "evaluate",
                lambda left: self._evaluations.evaluate(code, returns, left),
                timeout,
                idempotent=idempotent,
            )
        except ExecutionError as error:
            locate(error, find_source(code))
            raise

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
    ) -> AsyncGenerator[str]: ...

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
    ) -> AsyncGenerator[bytes]: ...

    def stream(
        self,
        code: str | bytes,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        stdin: StdinSource | None = None,
        filename: str | Path | None = None,
        mode: TextMode | Literal["bytes"] = "text",
    ) -> AsyncGenerator[str] | AsyncGenerator[bytes]:
        """Run code and yield its output as it comes: text in pieces, text by lines, or bytes.

        Besides the deadline for all of it (``timeout``), ``idle_timeout`` is how many seconds the consumer waits for
        the next output before the code is stopped. Raises what `execute` raises, after the last piece, with an empty
        ``output_bytes``: it has been yielded. A consumer that stops half-way (closes the generator, best with
        ``contextlib.aclosing``, or leaves the loop) stops the board; one that is slow holds it back.
        """
        streaming.check_mode(mode)
        check_path("filename", filename)
        source, given = encode_code(code), self._stdin(stdin)
        begin = functools.partial(streaming.stream, self._operations, source, idle_timeout=idle_timeout, stdin=given)
        chunks = begin(timeout) if self._guard is None else self._guard.stream(begin, timeout)
        if self._standing.instruments:
            chunks = observed_pieces(self._standing.instruments, self._standing.operation("stream"), chunks)
        located = streaming.located(chunks, code, filename)
        return located if mode == "bytes" else streaming.decoded(located, mode)

    def _stdin(self, source: StdinSource | None) -> Stdin | None:
        return None if source is None else Stdin(source, self.options.communication)
