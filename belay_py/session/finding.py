"""Finding a session's board: what may block happens beside the loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.devices.whereabouts import Place
from belay_py.errors import ConnectionFailed
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from belay_py.devices.whereabouts import Whereabouts


async def find_place(board: Whereabouts, deadline: float) -> Place:
    """Return the port to open. ``deadline`` is a reading of the loop's clock.

    Raises what `Whereabouts.find` raises, and `ConnectionFailed` when the system does not answer in time.
    """
    if not board.has_to_be_found:
        return Place(board.named)
    if board.comports is not None:
        return board.find()
    try:
        async with asyncio.timeout_at(deadline):
            # sysfs reads of a sick hub can hang, so not on the loop.
            return await offload(board.find, lambda _: None, name=f"belay finding {board.named}")
    except TimeoutError:
        raise ConnectionFailed(
            f"the system did not list its ports in time to find {board.named}; is a hub hanging? Plug it in again"
        ) from None
