"""Messages from code on the board: `belay_send` there, `messages()` and `on_message()` here.

Nothing is sent before somebody asks for messages. From then on the board's part goes out in front of the next
operation, once in each life of the interpreter, and a `Tap` takes messages out of all that comes.
"""

from __future__ import annotations

import logging
import math
import weakref
from typing import TYPE_CHECKING, Any

from belay_py.errors import BelayError, NotSupported, SettingsError
from belay_py.lifecycle import DeviceSessionState
from belay_py.options import check_text
from belay_py.options.checks import is_count
from belay_py.protocol import BoardReset
from belay_py.session import encoder, nonces, sender, values
from belay_py.session.listeners import QUEUE_LIMIT, Subscriptions
from belay_py.session.message import Message, MessageStream
from belay_py.session.observable import checked_listener
from belay_py.session.outcomes import Dropped, Restarted
from belay_py.session.tap import Frame, Tap
from belay_py.session.tracebacks import is_unprepared
from belay_py.text import short, to_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.protocol import Finished
    from belay_py.session.channel import Channel
    from belay_py.session.standing import Standing

_log = logging.getLogger(__name__)


class Messaging:
    """What hears the messages of a session's board."""

    _standing: Standing

    def messages(
        self, *, topic: str | None = None, timeout: float = math.inf, limit: int = QUEUE_LIMIT
    ) -> MessageStream:
        """Return an iterator of the messages that the board sends from now on with ``belay_send(value, topic=None)``.

        ``topic`` leaves the others out. ``timeout`` is how many seconds it waits for the next one before it raises
        `SessionTimeout`. It keeps ``limit`` messages for a slow consumer, who then misses the oldest
        (`Message.missed`). It ends with the session, not with a connection. The board gets to know ``belay_send`` in
        front of the next operation; where it has no memory for that, the iterator raises `NotSupported`. Raises
        `SettingsError`.
        """
        check_text("topic", topic)
        if not is_count(limit):
            raise SettingsError(f"limit is {limit!r}; it must be a whole number of messages, at least 1")
        waits = self._standing.seconds("timeout", timeout) if timeout != math.inf else math.inf
        stream = MessageStream(topic=topic, timeout=waits, limit=limit)
        self._inbox().add(stream)
        return stream

    def on_message(
        self, callback: Callable[[Message], None] | Callable[[Message], Awaitable[None]], *, topic: str | None = None
    ) -> Callable[[], None]:
        """Call ``callback`` with each message from now on; return what ends that, any number of times.

        A plain callback is called at once and must not block. An asynchronous one runs in a task of its own, one
        message after the other, and may execute on ``message.session``; one that lags by more than 1,000 messages
        misses some. What a callback raises is logged and changes nothing. Raises `SettingsError`.
        """
        check_text("topic", topic)
        return self._inbox().subscribe(checked_listener(callback), topic)

    def _inbox(self) -> Inbox:
        standing = self._standing
        if standing.inbox is None:
            standing.inbox = Inbox(standing)
        return standing.inbox


class Inbox:
    """A session's messages, and who wants them."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._streams: weakref.WeakSet[MessageStream] = weakref.WeakSet()  # a consumer may just leave its loop
        self._callbacks = Subscriptions()
        self._epoch = 0
        """The boot epoch that `_next` speaks of."""
        self._next = 0
        """The number of the next message."""
        self._lacking: tuple[Channel, int] | None = None
        """Where the board could not be prepared, and in which boot epoch."""

    def add(self, stream: MessageStream) -> None:
        """Add a consumer."""
        if self._standing.lifecycle.state is DeviceSessionState.DISPOSED:
            stream.close()
        self._streams.add(stream)
        self._lacking = None  # who asks now is told, or finds that there is memory by now

    def subscribe(self, callback: Callable[..., Any], topic: str | None) -> Callable[[], None]:
        """Add a callback; return what takes it out again."""
        self._lacking = None
        return self._callbacks.add(callback, None if topic is None else lambda message: message.topic == topic)

    def end(self) -> None:
        """The session is disposed of."""
        for stream in list(self._streams):
            stream.close()

    def lacks(self, channel: Channel) -> bool:
        """Whether the board is to be prepared in front of the next operation."""
        epoch = self._standing.boot_epoch
        if (channel.tap is not None and self._epoch == epoch) or self._lacking == (channel, epoch):
            return False
        return bool(self._streams or self._callbacks)

    async def prepare(self, channel: Channel, deadline: float) -> None:
        """Make ``belay_send`` known and have it use a nonce of this connection's.

        Raises what `Channel.execute` raises, `Dropped` and `Restarted`: no code of the caller's has run.
        """
        epoch, nonce = self._standing.boot_epoch, nonces.of_messages()
        tap = channel.tap = Tap(nonce, self._came, self._was_damaged)
        event = await _ask(channel, sender.begin(nonce), deadline)
        if b"NameError" in event.traceback and not _needs_a_look(event):
            for part in sender.KIT.parts:
                event = await _ask(channel, part, deadline)
                if event.traceback:
                    await _ask(channel, encoder.CLEAR, deadline)
                    break
            else:
                event = await _ask(channel, sender.begin(nonce), deadline)
        if event.traceback:
            channel.tap = None
            if not _needs_a_look(event):  # else the caller's code shows what has become of the board
                self._give_up(channel, epoch, to_text(event.traceback).strip().rpartition("\n")[2])
            return
        assert channel.tap is tap  # nobody else runs anything meanwhile
        if self._epoch != epoch:
            self._epoch, self._next = epoch, sender.sent_before(event.output)

    # -- internals ----------------------------------------------------------------------------------------------

    def _give_up(self, channel: Channel, epoch: int, reason: str) -> None:
        self._lacking = (channel, epoch)
        trouble = f"the board cannot send messages ({reason}); print() what it has to say"
        _log.warning("%s: %s", self._standing.options.port, trouble, extra=self._standing.counters.about)
        for stream in list(self._streams):
            stream.fail(NotSupported(trouble))

    def _came(self, frame: Frame) -> None:
        try:
            topic = values.parse(frame.topic.decode("utf-8", "surrogatepass")) if frame.topic else None
            value = values.parse(frame.value.decode("utf-8", "surrogatepass"))
        except (BelayError, UnicodeDecodeError) as error:
            standing = self._standing
            why = "%s: a message from the board cannot be read: %s"
            _log.warning(why, standing.options.port, error, extra=standing.counters.about)
            return  # the next one tells that it is missed
        missed, self._next = max(0, frame.number - self._next), frame.number + 1
        message = Message(
            session=self._standing.listeners.session,
            value=value,
            topic=topic,
            boot_epoch=self._standing.boot_epoch,
            number=frame.number,
            missed=missed,
        )
        for stream in list(self._streams):
            stream.put(message)
        self._callbacks.deliver(message)

    def _was_damaged(self, content: bytes) -> None:
        _log.warning(
            "%s: a message from the board came damaged: %s",
            self._standing.options.port,
            short(repr(content), 200),
            extra=self._standing.counters.about,
        )


def _needs_a_look(event: Finished) -> bool:
    """Whether the end of the response could not be marked, as after a restart that nobody saw."""
    return is_unprepared(event.traceback) and b"_q" in event.traceback


async def _ask(channel: Channel, code: bytes, deadline: float) -> Finished:
    event = await channel.ask(code, deadline)
    if isinstance(event, BoardReset):
        raise Restarted(not_started=True)
    if channel.interrupted:
        raise Dropped
    return event
