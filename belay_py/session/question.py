"""Asking a board what it is, whatever it is doing, and restarting it before that where that is wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from belay_py.errors import IdentityChanged, ProtocolViolation
from belay_py.protocol import BoardReset, Finished
from belay_py.session import info, nonces, restarting
from belay_py.session.integrity import Integrity
from belay_py.session.outcomes import Expired

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session.channel import Channel
    from belay_py.session.restarting import RestartAtConnect

# The question is 1.2 KB, answered within milliseconds at a prompt: 0.2 s at 115200 baud, 1.5 s at 9,600.
_LONGEST_ANSWER = 4.0


class Reply(NamedTuple):
    """What a board has answered, and how many seconds that took."""

    event: Finished | BoardReset
    about: info.Answer | None
    """What it says of itself; None where it raised an exception instead, or restarted."""
    round_trip: float


async def ask(
    channel: Channel,
    deadline: float,
    restart: RestartAtConnect = "never",
    *,
    verify: Callable[[str | None], None] | None = None,
    baudrate: int | None = None,
) -> Reply:
    """Bring a board to its prompt, restart it as ``restart`` says, and ask it `info.code`.

    It is asked twice if need be: a chip that restarts right after the handshake, above all one that the opening of its
    port has reset, forgets the question without a word, and a noisy wire damages it. With the port's ``baudrate`` all
    is checked from here on; see `belay_py.session.integrity`. ``verify`` gets the unique id before anything is
    restarted. Raises `Expired`, `LinkLost`, `ProtocolViolation`, and what ``verify`` and `restarting.restart` raise.
    """
    await channel.enter(deadline)
    if restart in ("soft", "hard"):
        if verify is not None:
            about = (await _ask_twice(channel, deadline, baudrate, verify)).about
            verify(about and about.board.unique_id)
        await restarting.restart(channel, restart, deadline)
    return await _ask_twice(channel, deadline, baudrate, verify)


async def _ask_twice(
    channel: Channel, deadline: float, baudrate: int | None, verify: Callable[[str | None], None] | None
) -> Reply:
    time = asyncio.get_running_loop().time
    now = time()
    try:
        reply = await _ask(channel, min((now + deadline) / 2, now + _LONGEST_ANSWER), baudrate)
        if isinstance(reply.event, Finished):
            if verify is not None and reply.about is not None:
                verify(reply.about.board.unique_id)  # noise in the question itself may have made another board of it
            return reply
    except (Expired, ProtocolViolation, IdentityChanged):
        if time() >= deadline:
            raise
    await channel.enter(deadline)
    return await _ask(channel, deadline, baudrate)


async def _ask(channel: Channel, deadline: float, baudrate: int | None) -> Reply:
    time = asyncio.get_running_loop().time
    began = time()
    if baudrate is not None:
        await Integrity.install(channel, baudrate, deadline)
    event = await channel.ask(info.code(nonces.of_life()), deadline)
    about = None
    if isinstance(event, Finished) and not event.traceback:
        features = channel.repl.features
        assert features is not None, "it has answered at its prompt"
        about = info.parse(event.output, raw_paste=features.raw_paste, window=features.window)
    return Reply(event, about, time() - began)
