"""Many snippets at once: few submissions, each of as many snippets as the board takes well, results in order."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Literal, TypeVar, overload

from belay_py.errors import (
    BelayError,
    BoardWasReset,
    ExecutionError,
    InvalidCode,
    ProtocolViolation,
)
from belay_py.session import batches, nonces
from belay_py.session.batches import KIT
from belay_py.session.errands import going_first
from belay_py.session.execution import ExecutionResult, encode_code
from belay_py.session.memory import ALWAYS_FITS
from belay_py.session.snippets import find_source
from belay_py.session.tracebacks import execution_error, locate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from belay_py.metrics import Kind
    from belay_py.session.batches import Answer, Ended
    from belay_py.session.channel import Channel
    from belay_py.session.errands import Errand
    from belay_py.session.standing import Standing

_T = TypeVar("_T")

LARGEST: Final = 4096
"""Bytes of a submission: 0.36 s at 115200 baud, so that one round trip for each is little beside it."""
_SHARE: Final = 16
"""Which part of the board's heap a submission may be."""
_ATTEMPTS: Final = 3
"""How often a submission is sent whose kit something on the board removes each time."""


class ExecutingMany:
    """Running many snippets on a session's board."""

    _standing: Standing

    async def _errand(
        self,
        work: Callable[[Errand], Awaitable[_T]],
        timeout: float | None,
        *,
        kind: Kind = "call",
        idempotent: bool = False,
    ) -> _T:
        raise NotImplementedError

    @overload
    async def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: Literal[True] = True,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult]: ...

    @overload
    async def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: bool,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult | ExecutionError]: ...

    async def execute_many(
        self,
        snippets: Iterable[str | bytes],
        *,
        stop_on_error: bool = True,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> list[ExecutionResult] | list[ExecutionResult | ExecutionError]:
        """Run snippets one after the other, without a round trip between them; return their results in order.

        Each is compiled and run on its own, as `execute` does; names stay, and nobody's operation comes in between.
        Durations are the board's own, without the wire; nan where it has no ``time.ticks_us``. The first exception is
        raised, or with ``stop_on_error=False`` takes its place in the list. Some KB of snippets go out as one
        submission, which is what the session's statistics count as an operation. ``timeout`` is seconds for all
        of them; with None each submission has ``operation_timeout``. Raises what `execute` raises; ``error.results``
        are those of the snippets before the one that it speaks of. ``idempotent`` says that the option ``retry`` may
        run all of them again.
        """
        codes = listed(snippets)
        sources = [_encoded(code, number) for number, code in enumerate(codes, 1)]
        standing = self._standing
        with placed(codes) as place:
            return place(
                await self._errand(
                    lambda errand: _Run(errand, standing, sources, stop=stop_on_error).all(),
                    timeout,
                    kind="execute_many",
                    idempotent=idempotent,
                )
            )


def listed(snippets: Iterable[str | bytes]) -> list[str | bytes]:
    """Return snippets as a list. Raises `InvalidCode` for what is one piece of code, or nothing that has several."""
    if isinstance(snippets, str | bytes | bytearray | memoryview):
        raise InvalidCode("execute_many() takes a list of snippets, and this is one; run it with execute()")
    try:
        return list(snippets)
    except TypeError:
        raise InvalidCode(f"execute_many() takes a list of snippets, not {type(snippets).__name__}") from None


def _encoded(code: str | bytes, number: int) -> bytes:
    try:
        return encode_code(code)
    except InvalidCode as error:
        raise InvalidCode(f"of snippet {number}, {error}") from None


@contextlib.contextmanager
def placed(codes: Sequence[str | bytes]) -> Iterator[Callable[[_T], _T]]:
    """Put the host's places into what comes of snippets: an error that is raised, and those that are returned."""

    def place(results: _T) -> _T:
        if isinstance(results, list):
            for code, result in zip(codes, results, strict=False):
                if isinstance(result, ExecutionError):
                    locate(result, find_source(code))
        return results

    try:
        yield place
    except ExecutionError as error:
        number = len(error.results)
        place([*error.results])
        if number < len(codes):
            locate(error, find_source(codes[number]))
        raise


class _Run:
    """One run through all snippets."""

    def __init__(self, errand: Errand, standing: Standing, sources: Sequence[bytes], *, stop: bool) -> None:
        self._errand = errand
        self._standing = standing
        self._sources = sources
        self._stop = stop
        self._limit = LARGEST
        self._misses = 0
        self._results: list[ExecutionResult | ExecutionError] = []

    async def all(self) -> list[ExecutionResult | ExecutionError]:
        """Run them, in as few submissions as may be."""
        results, total = self._results, len(self._sources)
        try:
            while len(results) < total:
                channel = self._standing.channel
                batch = self._pick(channel)
                if len(batch) > 1 and channel is not None and await self._is_ready():
                    await self._submit(batch, checked=channel.integrity is not None)
                else:
                    await self._single()
        except BelayError as error:
            error.results = tuple(results)
            if results and getattr(error, "outcome", None) == "not_started":
                vars(error)["outcome"] = "unknown"  # it speaks of all of them, and some have run
            if total > 1:
                error.add_note(f"this is of snippet {min(len(results) + 1, total)} of {total}")
            raise
        return results

    def _pick(self, channel: Channel | None) -> list[bytes]:
        """Return what can go out together: nothing, where the board marks no ends and anything printed may be one."""
        usable = channel is not None and channel.repl.features is not None and (channel.marked or channel.integrity)
        if channel is None or not usable or not self._limit:
            return []
        limit = min(self._limit, (channel.heap or 0) // _SHARE)
        if channel.repl.features is not None and not channel.repl.features.raw_paste:
            limit = min(limit, ALWAYS_FITS)
        return batches.pick(self._sources, len(self._results), max(limit, ALWAYS_FITS // 2))

    async def _single(self) -> None:
        try:
            self._results.append(await self._errand.run(self._sources[len(self._results)]))
        except ExecutionError as error:
            if self._stop:
                raise
            self._results.append(error)

    async def _is_ready(self) -> bool:
        """Send what runs snippets, unless it is there; return whether the board can do it."""
        theirs = "the next ones had not started" if self._results else "none of them had started"
        try:
            with going_first("what runs snippets", theirs):
                await self._errand.use(KIT)
        except ExecutionError:
            self._limit = 0  # no `compile`, or no memory for it: one by one, then
            return False
        return True

    async def _submit(self, batch: list[bytes], *, checked: bool) -> None:
        nonce = nonces.of_batch()
        source = batches.pack(batch, nonce, stop=self._stop)
        epoch, came = self._standing.boot_epoch, bytearray()
        try:
            # With a sink, what had come is known whatever happens; unchecked output is worth nothing, though.
            result = await self._errand.run(source, sink=None if checked else came.extend)
        except ExecutionError as error:
            answer = batches.read(bytes(came) or error.output_bytes, nonce)
            if answer.begun:
                self._failed(error, answer, len(batch))
            else:
                await self._not_begun(error, epoch, len(source))
        except BelayError as error:
            answer = batches.read(bytes(came), nonce)
            self._take(answer.ended)
            if isinstance(error, BoardWasReset):
                error.output_bytes = answer.rest if not checked else b""
            raise
        else:
            output = bytes(came) or result.output_bytes
            self._ended(batches.read(output, nonce), output, len(batch))

    def _ended(self, answer: Answer, came: bytes, expected: int) -> None:
        """Take what came of a submission that has run to its end."""
        ended = answer.ended
        if len(ended) != expected and not (self._stop and ended and ended[-1].traceback):
            self._take(ended)
            raise ProtocolViolation(
                "all snippets ran, but something else on the board (a timer, a thread) printed between the results, "
                "and they cannot be told apart; silence it, or run them one by one with execute()",
                received=came[-200:],
            )
        if answer.rest:  # of a thread or a timer, behind the last one
            ended[-1] = ended[-1]._replace(output=ended[-1].output + answer.rest)
        self._take(ended)
        if self._stop and isinstance(last := self._results[-1], ExecutionError):
            self._results.pop()
            raise last

    def _failed(self, error: ExecutionError, answer: Answer, expected: int) -> None:
        """What a snippet raised has ended the submission: it is no Exception, or there is no memory to print it."""
        ended, rest = answer.ended, answer.rest
        if len(ended) >= expected:
            rest = ended.pop().output + rest
        self._take(ended)
        own = execution_error(batches.without_our_frames(error.traceback.encode()), rest)
        if self._stop:
            raise own
        self._results.append(own)

    async def _not_begun(self, error: ExecutionError, epoch: int, size: int) -> None:
        """Make sure that the next attempt is another one: what runs snippets was gone, or had not enough memory."""
        if KIT.is_missing(error) and self._misses < _ATTEMPTS:
            self._misses += 1
            await self._errand.look_for_restart(KIT)
            if self._standing.boot_epoch != epoch:
                raise BoardWasReset(
                    "the board had restarted before these snippets came, which did not run: its variables are gone",
                    outcome="not_started",
                )
        elif error.type == "MemoryError" and self._limit > ALWAYS_FITS // 2:
            self._limit = min(self._limit, size) // 2
        else:
            self._limit = 0

    def _take(self, ended: list[Ended]) -> None:
        for output, traceback, duration in ended:
            result = execution_error(traceback, output) if traceback else ExecutionResult(output, duration)
            self._results.append(result)
