"""The lines to open a port with, and the pulses that restart a board."""

from __future__ import annotations

import asyncio
import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from belay_py.devices import profiles
from belay_py.errors import ConnectionFailed
from belay_py.transports.base import SupportsLines
from belay_py.transports.offload import offload
from belay_py.transports.threaded import ThreadedTransport

if TYPE_CHECKING:
    from belay_py.devices.profiles import Profile
    from belay_py.transports.base import LinkOptions, Transport


def profiled(port: str, options: LinkOptions) -> tuple[LinkOptions, Profile]:
    """The options with the profile's lines where they name none, and that profile. May block for a moment.

    Raises `SettingsError` for a profile that does not exist.
    """
    profile = profiles.find(port) if options.profile is None else profiles.named(options.profile)
    dtr = profile.dtr if options.dtr is None else options.dtr
    rts = profile.rts if options.rts is None else options.rts
    return dataclasses.replace(options, dtr=dtr, rts=rts), profile


async def profile_of(port: str, name: str | None) -> Profile:
    """The profile of that name, or of the board behind a port, looked up beside the loop. Raises `SettingsError`."""
    if name is not None:
        return profiles.named(name)
    return await offload(partial(profiles.find, port), lambda _: None, name=f"belay looking up {port}")


async def reset_by_lines(transport: Transport, profile: Profile) -> None:
    """Restart the board's chip by the lines of its port. The link of a board with native USB may drop.

    Cancelled half-way, the lines still end as they should: a chip is never left in reset. Raises `Disconnected` when
    the port is gone, `ConnectionFailed` when it has no lines or the profile knows no sequence.
    """
    if not isinstance(transport, SupportsLines):
        raise ConnectionFailed("this kind of port has no DTR and RTS: reset the board another way")
    if profile.reset_lines is None:
        raise ConnectionFailed(
            f"no line resets a board of the profile {profile.name!r}: reset it another way, or name its profile "
            "with communication.profile"
        )
    queue = getattr(transport, "traced", transport)
    if isinstance(queue, ThreadedTransport):
        # All at once: its thread does the steps in order and in time, however far behind it is, even when cancelled.
        for step in profile.reset_lines:
            transport.set_lines(dtr=step.dtr, rts=step.rts)
            held = queue.hold_lines(step.seconds)
        await held
        return
    *steps, last = profile.reset_lines
    try:
        for step in steps:
            transport.set_lines(dtr=step.dtr, rts=step.rts)
            await asyncio.sleep(step.seconds)
    finally:
        transport.set_lines(dtr=last.dtr, rts=last.rts)
    await asyncio.sleep(last.seconds)
