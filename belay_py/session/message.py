"""A message of the board, and a consumer's queue of them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from belay_py.errors import SessionTimeout
from belay_py.events import SessionEvent
from belay_py.session.about import about

if TYPE_CHECKING:
    from belay_py.errors import BelayError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(SessionEvent):
    """What code on the board has sent with ``belay_send(value, topic)``; ``at`` is when it came, in UTC."""

    value: Any
    topic: str | None = None
    boot_epoch: int
    """The life of the interpreter that sent it."""
    number: int
    """Counts the messages of that life, from 0."""
    missed: int = 0
    """How many that were sent before this one did not get here: damaged, lost with the link, or dropped because this
    consumer was slow. Of a consumer of one topic, it counts lost ones of any."""


class MessageStream:
    """One consumer's messages, from its making on: an asynchronous iterator. `DeviceSession.messages` makes it.

    It ends with the session, or when it is closed. A consumer that is slower than the board misses the oldest ones.
    """

    def __init__(self, *, topic: str | None, timeout: float, limit: int) -> None:
        self._topic = topic
        self._timeout = timeout
        self._limit = limit
        self._queue: deque[Message] = deque()
        self._missed = 0
        self._ended = False
        self._trouble: BelayError | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next message. Raises `SessionTimeout` where none came in time, and `NotSupported`."""
        while not self._queue:
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise trouble
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        return self._next()

    def take(self) -> list[Message]:
        """Return the messages that are here, without waiting. All that an execution sent are, when it has ended."""
        return [self._next() for _ in range(len(self._queue))]

    def close(self) -> None:
        """Take no more; those that are here can still be had."""
        self._ended = True
        self._rouse()

    def put(self, message: Message) -> None:
        """Add a message, if it is of this consumer's topic."""
        if self._ended:
            return
        if self._topic is not None and message.topic != self._topic:
            self._missed += message.missed
            return
        if len(self._queue) >= self._limit:
            self._missed += 1 + self._queue.popleft().missed
            if self._missed == 1:
                _log.warning(
                    "a consumer of messages is too slow: %d wait for it, and it misses the oldest",
                    self._limit,
                    extra=about(message.session),
                )
        self._queue.append(message)
        self._rouse()

    def fail(self, trouble: BelayError) -> None:
        """Raise an error at the consumer, once, behind what has come."""
        self._trouble = trouble
        self._rouse()

    def _next(self) -> Message:
        message = self._queue.popleft()
        if self._missed:
            message = dataclasses.replace(message, missed=message.missed + self._missed)
            self._missed = 0
        return message

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(None if self._timeout == math.inf else self._timeout):
                await waiter
        except TimeoutError:
            if not (self._queue or self._ended or self._trouble):
                raise SessionTimeout(
                    f"no message came for {self._timeout:g} s; does the program on the board call belay_send()?"
                ) from None
        finally:
            self._waiters.remove(waiter)

    def _rouse(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
