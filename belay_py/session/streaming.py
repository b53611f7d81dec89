"""Output that is read while the code runs: from the link to a consumer, no faster than the consumer takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from belay_py.errors import BelayError, ExecutionError, SessionTimeout, SettingsError
from belay_py.session.snippets import find_source
from belay_py.session.tracebacks import locate
from belay_py.text import TextDecoder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from belay_py.session.execution import ExecutionResult
    from belay_py.session.operations import Operations
    from belay_py.session.recovery import Recovery
    from belay_py.session.stdin import Stdin

TextMode = Literal["text", "lines"]

MODES = ("text", "lines", "bytes")
LIMIT = 64 * 1024
"""Bytes that a slow consumer may leave unread before the board is held back."""


class OutputQueue:
    """Between a channel, which puts, and one consumer, which gets.

    ``pause`` and ``resume`` stop and start the link's reading: the driver's buffer fills, then the board's, and the
    program waits in its ``print``.
    """

    def __init__(self, *, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._paused = False
        self._ended = False
        self._wake: asyncio.Future[None] | None = None

    def put(self, data: bytes) -> None:
        """Add output."""
        self._pieces.append(data)
        self._unread += len(data)
        if self._unread > LIMIT and not self._paused:
            self._paused = True
            self._pause()
        self._rouse()

    def end(self, run: asyncio.Future[Any]) -> None:
        """No more will come: ``run`` is done. The link is free for the next operation, whatever is still unread."""
        if not run.cancelled():
            run.exception()  # a consumer who left early does not want to hear of it
        self._ended = True
        if self._paused:
            self._paused = False
            self._resume()
        self._rouse()

    @property
    def ready(self) -> bool:
        """Whether `get` has something to return."""
        return bool(self._pieces) or self._ended

    async def get(self) -> bytes | None:
        """Return the next output, or None after the last."""
        while not self.ready:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if not self._pieces:
            return None
        data = self._pieces.popleft()
        self._unread -= len(data)
        if self._paused and self._unread <= LIMIT // 2:
            self._paused = False
            self._resume()
        return data

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def check_mode(mode: str) -> None:
    """Refuse what is none of `MODES`. Raises `SettingsError`."""
    if mode not in MODES:
        raise SettingsError(f'mode is {mode!r}; it must be "text", "lines" or "bytes"')


async def stream(
    operations: Operations,
    source: bytes,
    timeout: float | None,
    idle_timeout: float | None,
    stdin: Stdin | None,
) -> AsyncGenerator[bytes]:
    """Run code and yield what it writes. See `DeviceSession.stream`."""
    standing, recovery = operations.standing, operations.recovery
    idle = None if idle_timeout is None else standing.seconds("idle_timeout", idle_timeout)
    deadline = standing.deadline(timeout)
    channel = await standing.begin(deadline)
    queue = OutputQueue(pause=channel.pause_reading, resume=channel.resume_reading)
    run = asyncio.get_running_loop().create_task(operations.run_counted(channel, source, deadline, queue.put, stdin))
    run.add_done_callback(queue.end)
    try:
        while (data := await _next(queue, idle)) is not None:
            yield data
        await run
    except _Idle:
        if recovery.throw_away(channel):
            await asyncio.wait([run])
        await _stop(run, recovery)
        ready = standing.usable
        outcome = "the code was stopped and the board is ready again" if ready else f"and then {standing.trouble}"
        raise SessionTimeout(f"no output came for {idle:g} s (idle_timeout); {outcome}", recovered=ready) from None
    finally:
        await _stop(run, recovery)


class _Idle(Exception):
    """No output came for the time that the consumer allows."""


async def _next(queue: OutputQueue, idle: float | None) -> bytes | None:
    if idle is None:
        return await queue.get()
    try:
        async with asyncio.timeout(idle):
            return await queue.get()
    except TimeoutError:
        if queue.ready:  # it came in the same moment
            return await queue.get()
        raise _Idle from None


async def _stop(run: asyncio.Task[ExecutionResult], recovery: Recovery) -> None:
    if not run.done():
        run.cancel()
        await asyncio.wait([run])
        await recovery.settled()


async def located(
    chunks: AsyncGenerator[bytes], code: str | bytes, filename: str | Path | None
) -> AsyncGenerator[bytes]:
    """Pass output on; an exception gets the places of the caller's source, who is on the stack only here."""
    async with aclosing(chunks):
        try:
            async for chunk in chunks:
                yield chunk
        except ExecutionError as error:
            locate(error, find_source(code, filename))
            raise


async def decoded(chunks: AsyncGenerator[bytes], mode: TextMode) -> AsyncGenerator[str]:
    """Turn bytes into text, in pieces or by lines (without their ends); closes ``chunks`` when it is closed."""
    decoder, unfinished = TextDecoder(), [""]
    async with aclosing(chunks):
        error: Exception | None = None
        try:
            async for data in chunks:
                text = decoder.decode(data)
                if mode == "lines":
                    first, *others = text.split("\n")
                    unfinished.append(first)
                    for other in others:
                        yield "".join(unfinished)
                        unfinished = [other]
                elif text:
                    yield text
        except BelayError as failure:
            error = failure
        if rest := "".join(unfinished) + decoder.decode(b"", final=True):
            yield rest
        if error is not None:
            raise error
