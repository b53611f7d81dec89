"""Reaching a board: its port is found wherever it is now, and opened; again, while the board is away for a moment."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Final, NamedTuple

from belay_py.errors import ConnectionFailed, DeviceBusy, DeviceNotFound, IdentityChanged
from belay_py.session.connection import Connection, open_connection
from belay_py.session.finding import find_place
from belay_py.session.outcomes import WentAway

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.devices.whereabouts import Place
    from belay_py.session.channel import Channel
    from belay_py.session.restarting import RestartAtConnect
    from belay_py.session.standing import Standing

_BETWEEN_ATTEMPTS: Final = 0.2
"""Seconds; a board with native USB is away for one or two, and its port is made anew."""


class Reached(NamedTuple):
    """A connection, and the place where its board was found."""

    place: Place
    connection: Connection


async def reach(
    standing: Standing,
    deadline: float,
    on_lost: Callable[[Channel, Exception | None], None],
    *,
    after: Channel | None,
    restart: RestartAtConnect,
    patient: bool,
) -> Reached:
    """Find and open the port of a session's board, once ``after``, which may still hold it, has closed.

    See `Link.connect_in_turn` for ``restart`` and ``patient``, and `open_connection` for the rest and the errors.
    """
    loop, board = asyncio.get_running_loop(), standing.whereabouts
    if after is not None:
        await after.closed()
    while True:
        try:
            place = await find_place(board, deadline)
            connection = await open_connection(
                dataclasses.replace(standing.options, port=place.port),
                deadline,
                on_lost,
                restart=restart,
                verify=board.verify if board.known.unique_id is not None else None,
                counters=standing.counters,
            )
            return Reached(place, connection)
        except WentAway:
            restart, patient = "never", True
        except (DeviceNotFound, DeviceBusy, ConnectionFailed, IdentityChanged):
            if not patient or loop.time() + _BETWEEN_ATTEMPTS >= deadline:
                raise
        await asyncio.sleep(_BETWEEN_ATTEMPTS)
