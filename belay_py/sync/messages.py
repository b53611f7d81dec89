"""What of the blocking `DeviceSession` hears its board's messages."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Self

from belay_py.session.listeners import QUEUE_LIMIT
from belay_py.sync.face import ObservableFace, call

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session import message as asynchronous
    from belay_py.session import session
    from belay_py.session.message import Message


class MessageIterator:
    """The blocking `belay_py.session.message.MessageStream`; for one thread."""

    def __init__(self, face: Messaging, stream: asynchronous.MessageStream) -> None:
        self._face = face
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """Return the next message. Raises `SessionTimeout` where none came in time, and `NotSupported`."""
        message = self._face._run(_next(self._stream))  # noqa: SLF001  the session's own iterator
        if message is None:
            raise StopIteration
        return self._face._told(message)  # noqa: SLF001  as above

    def take(self) -> list[Message]:
        """Return the messages that are here, without waiting. All that an execution sent are, when it has ended."""
        messages = self._face._run(call(self._stream.take))  # noqa: SLF001  as above
        return [self._face._told(message) for message in messages]  # noqa: SLF001  as above

    def close(self) -> None:
        """Take no more; those that are here can still be had."""
        self._face._run_if_alive(call(self._stream.close))  # noqa: SLF001  as above


class Messaging(ObservableFace):
    """What hears the messages of a session's board: each method is its asynchronous twin's."""

    _session: session.DeviceSession

    def messages(
        self, *, topic: str | None = None, timeout: float = math.inf, limit: int = QUEUE_LIMIT
    ) -> MessageIterator:
        """See `belay_py.DeviceSession.messages`. A thread of its own may wait for them while another one executes."""
        make = functools.partial(self._session.messages, topic=topic, timeout=timeout, limit=limit)
        return MessageIterator(self, self._run(call(make)))

    def on_message(self, callback: Callable[[Message], Any], *, topic: str | None = None) -> Callable[[], None]:
        """See `belay_py.DeviceSession.on_message`.

        A plain callback runs in a thread of its own for each message, one after the other, so it may block and use
        ``message.session``, which is this session. An asynchronous one runs on the loop's thread, and gets the
        asynchronous session.
        """
        subscribe: Callable[..., Callable[[], None]] = functools.partial(self._session.on_message, topic=topic)
        listener: Any = callback
        return self._subscribed(subscribe, listener)

    def _told(self, message: Message) -> Message:
        return dataclasses.replace(message, session=self._face_of(message.session))


async def _next(stream: asynchronous.MessageStream) -> Message | None:
    return await anext(stream, None)
