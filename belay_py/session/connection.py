"""Connecting: from a port's name to a board at a verified prompt that has said what it is."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from belay_py.errors import ConnectionFailed, ProtocolViolation
from belay_py.protocol import Finished
from belay_py.session import question
from belay_py.session.channel import NO_MEMORY, Channel
from belay_py.session.outcomes import Expired, LinkLost
from belay_py.transports import open_transport
from belay_py.transports.base import LinkOptions
from belay_py.transports.profiled import profile_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.options import DeviceSessionOptions
    from belay_py.session.about import About
    from belay_py.session.info import BoardInfo
    from belay_py.session.restarting import RestartAtConnect
    from belay_py.session.statistics import Counters
    from belay_py.transports.base import Receiver


_MORE = "allow it more time (connection_timeout, or the call's timeout)"


class Connection(NamedTuple):
    """An open channel, and what is at its other end."""

    channel: Channel
    board: BoardInfo
    round_trip: float
    """Seconds from the question what the board is to its answer."""


async def open_connection(
    options: DeviceSessionOptions,
    deadline: float,
    on_lost: Callable[[Channel, Exception | None], None],
    *,
    restart: RestartAtConnect = "never",
    verify: Callable[[str | None], None] | None = None,
    counters: Counters | None = None,
) -> Connection:
    """Open the port, enter the raw REPL, and ask the board what it is.

    ``deadline`` is a reading of the loop's clock; ``on_lost`` is called when the link ends later; ``counters`` count
    its bytes. ``verify`` raises what is to be raised for the unique id of a wrong board, before that is restarted; only
    a restart by lines comes before all. Raises `DeviceNotFound`, `DeviceBusy` or `ConnectionFailed`, and `WentAway`
    when the link went away with a chip that is restarted; nothing stays open then.
    """
    how = options.communication
    limit = _seconds_left(deadline)
    channel = Channel(chunk=how.chunk, pace=how.pace, on_lost=on_lost, counters=counters)
    try:
        await open_port(options, channel, deadline, None if counters is None else counters.about)
        if restart == "lines":
            await channel.reset_chip(await profile_of(options.port, how.profile))
        baudrate = options.baudrate if how.integrity else None
        reply = await question.ask(channel, deadline, restart, verify=verify, baudrate=baudrate)
        if isinstance(reply.event, Finished) and b"MemoryError" in reply.event.traceback:
            raise ConnectionFailed(f"the board on {options.port} {NO_MEMORY}")
        if reply.about is None:
            raise ConnectionFailed(f"the board on {options.port} could not say what it is; is it MicroPython?")
        board, channel.life = reply.about
        channel.marks = how.framing == "marked"
        channel.marked = channel.marks and channel.tells_restarts
        channel.heap = board.heap.free + board.heap.allocated if board.heap else None
    except BaseException as error:  # it goes on, or one of ours does
        channel.close()
        await channel.closed()
        failure = failure_of(error, options, channel, limit, at_prompt=channel.repl.features is not None)
        if failure is not None:
            raise failure from failure.__cause__
        raise
    return Connection(channel, board, reply.round_trip)


async def open_port(
    options: DeviceSessionOptions, receiver: Receiver, deadline: float, about: About | None = None
) -> None:
    """Open the port that ``options`` describe, and connect ``receiver`` to it. Nothing is sent.

    ``about`` is what records of the log carry. Raises `DeviceNotFound`, `DeviceBusy`, `ConnectionFailed`, or
    `SettingsError` for a trace that cannot be written.
    """
    how = options.communication
    limit = _seconds_left(deadline)
    link = LinkOptions(
        baudrate=options.baudrate, exclusive=how.exclusive, dtr=how.dtr, rts=how.rts, profile=how.profile
    )
    try:
        async with asyncio.timeout_at(deadline):
            if options.trace is None:
                await open_transport(options.port, receiver, link)
            else:
                from belay_py.transports.tracing import open_traced  # noqa: PLC0415  only who traces pays for it

                await open_traced(open_transport, options.port, receiver, link, os.fspath(options.trace), about=about)
    except TimeoutError:
        raise ConnectionFailed(_slow_opening(options, limit)) from None


def failure_of(
    error: BaseException, options: DeviceSessionOptions, channel: Channel, limit: float, *, at_prompt: bool
) -> ConnectionFailed | None:
    """Return what a caller is to see when connecting ended in ``error``, or None when that is ``error`` itself.

    ``limit`` is how many seconds there were.
    """
    failure = None
    if isinstance(error, Expired) and not at_prompt:
        failure = ConnectionFailed(_silence(options, channel.repl.unanswered, limit))
    elif isinstance(error, Expired):
        failure = ConnectionFailed(
            f"the board on {options.port} is at its prompt, but did not say what it is within "
            f"{limit:g} s; {_MORE}, see that no other program reads the port, or reset the board"
        )
    elif isinstance(error, LinkLost):
        why = error.__cause__ or "is the board powered, the cable whole?"
        failure = ConnectionFailed(f"{options.port} was lost during the handshake; {why}")
        failure.__cause__ = error.__cause__
    elif isinstance(error, ProtocolViolation):
        failure = ConnectionFailed(f"on {options.port} {error}")
        failure.__cause__ = error
    return failure


def _seconds_left(deadline: float) -> float:
    """How long an attempt may take, as messages say it: what its caller allowed, less the wait for its turn."""
    return max(0.0, round(deadline - asyncio.get_running_loop().time(), 2))


def _slow_opening(options: DeviceSessionOptions, limit: float) -> str:
    message = f"{options.port} could not be opened within {limit:g} s"
    if options.port.startswith("virtual:"):
        return f"{message}; the first start fetches and compiles MicroPython: try again, or {_MORE}"
    return f"{message}; is the driver or the other end hanging? Plug it in again, or {_MORE}"


def _silence(options: DeviceSessionOptions, heard: bytes, limit: float) -> str:
    within = f"within {limit:g} s"
    if b"MemoryError" in heard:
        return f"the board on {options.port} {NO_MEMORY}"
    if heard:
        return (
            f"no MicroPython prompt on {options.port} {within}; the board sent {heard[-60:]!r}. "
            "Its program may catch Ctrl-C: reset the board"
        )
    return (
        f"no answer on {options.port} {within}. Is it a MicroPython board, is {options.baudrate} its baudrate? "
        "A board that hangs needs a reset"
    )
