"""Restarting a board in the course of connecting to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from belay_py.errors import ConnectionFailed, ProtocolViolation
from belay_py.protocol import Finished
from belay_py.session.outcomes import Expired, LinkLost, WentAway
from belay_py.text import to_text

if TYPE_CHECKING:
    from belay_py.session.channel import Channel

RestartAtConnect: TypeAlias = Literal["never", "soft", "hard", "lines"]
"""As the option ``reset``; ``lines``: the chip, by the lines of the port, before anything is said."""

RESET_CHIP: Final = b"__import__('machine').reset()"
# A board on a UART greets again within a second. Some say nothing before they are spoken to (tried on the Pico
# emulator), and a boot.py that is still running then is interrupted.
LONGEST_SILENCE: Final = 1.5


async def restart(channel: Channel, how: Literal["soft", "hard"], deadline: float) -> None:
    """Restart the interpreter or the chip of a board at its prompt, and bring it there again.

    Raises `WentAway` when the link goes away with the chip, `ConnectionFailed` for a chip that cannot be restarted,
    `Expired` or `LinkLost`.
    """
    if how == "soft":
        await channel.soft_reset(deadline)
        await channel.enter(deadline)
        return
    channel.chip_was_reset = True
    try:
        try:
            answer = await channel.execute(
                RESET_CHIP, min(deadline, asyncio.get_running_loop().time() + LONGEST_SILENCE)
            )
        except (Expired, ProtocolViolation):
            pass  # it boots
        else:
            if isinstance(answer, Finished):
                why = to_text(answer.traceback).strip().rpartition("\n")[2] or "it has not restarted"
                raise ConnectionFailed(
                    f'the board cannot reset its chip by itself ({why}); use reset="soft", or press its reset button'
                )
        await channel.enter(deadline)
    except LinkLost as error:
        raise WentAway from error.__cause__
    channel.chip_was_reset = False
