"""A board at its friendly prompt, for a person: the port opened once, what runs stopped, and nothing reset."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.session.channel import Channel
from belay_py.session.connection import failure_of, open_port

if TYPE_CHECKING:
    from belay_py.options import DeviceSessionOptions
    from belay_py.transports.base import Receiver, Transport


async def open_friendly(options: DeviceSessionOptions, receiver: Receiver) -> Transport:
    """Open the port, bring the board to its friendly prompt, and connect ``receiver`` to it.

    The way there is a session's: a verified raw prompt. Then a Ctrl-B leads to the friendly one, whose greeting is the
    first that ``receiver`` gets. Raises `DeviceNotFound`, `DeviceBusy`, `ConnectionFailed` (within
    ``connection_timeout`` seconds) or `SettingsError`; nothing stays open then.
    """
    deadline = asyncio.get_running_loop().time() + min(options.connection_timeout, 1e9)
    how = options.communication
    channel = Channel(chunk=how.chunk, pace=how.pace, on_lost=lambda *_: None)
    link = _Link(channel)
    try:
        await open_port(options, link, deadline)
        await channel.enter(deadline)
    except BaseException as error:  # it goes on, or one of ours does
        channel.close()
        await channel.closed()
        failure = failure_of(error, options, channel, options.connection_timeout, at_prompt=False)
        if failure is not None:
            raise failure from failure.__cause__
        raise
    return link.hand_over(receiver)


class _Link(asyncio.Protocol):
    """Passes on what a transport tells: first to the handshake, then to whom the board is for."""

    def __init__(self, channel: Channel) -> None:
        self._receiver: Receiver = channel
        self._channel = channel
        self._transport: Transport | None = None

    def hand_over(self, receiver: Receiver) -> Transport:
        """Leave the raw REPL and let ``receiver`` have all that comes from now on."""
        assert self._transport is not None  # it has been talked to
        self._receiver = receiver
        receiver.connection_made(self._transport)
        self._channel.repl.leave()
        self._transport.write(self._channel.repl.data_to_send())
        return self._transport

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio names its own base
        self._transport = transport
        self._receiver.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.connection_lost(exc)

    def pause_writing(self) -> None:
        self._receiver.pause_writing()

    def resume_writing(self) -> None:
        self._receiver.resume_writing()
