"""Waiting for a session to reach a state."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.errors import SessionClosed, SessionTimeout, SettingsError
from belay_py.events import SessionEvent, StateChanged
from belay_py.lifecycle import DeviceSessionState

if TYPE_CHECKING:
    from belay_py.session.standing import Standing


async def wait_for_state(
    standing: Standing, states: tuple[DeviceSessionState, ...], deadline: float
) -> DeviceSessionState:
    """See `DeviceSession.wait_for_state`; ``deadline`` is a reading of the loop's clock."""
    wanted = " or ".join(getattr(state, "name", repr(state)) for state in states)
    if not states or not all(isinstance(state, DeviceSessionState) for state in states):
        raise SettingsError(f"cannot wait for {wanted or 'no state'}; name one or more of DeviceSessionState")
    reached: asyncio.Future[DeviceSessionState] = asyncio.get_running_loop().create_future()

    def look(state: DeviceSessionState) -> None:
        if reached.done():
            return
        if state in states:
            reached.set_result(state)
        elif state is DeviceSessionState.DISPOSED:
            reached.set_exception(SessionClosed(f"the session was closed for good; it cannot be {wanted} any more"))

    def on_event(event: SessionEvent) -> None:
        if isinstance(event, StateChanged):
            look(event.new)

    unsubscribe = standing.listeners.subscribe(on_event)
    look(standing.lifecycle.state)
    try:
        async with asyncio.timeout_at(deadline):
            return await reached
    except TimeoutError:
        raise SessionTimeout(
            f"the session did not become {wanted} before the deadline; it is {standing.lifecycle.state.name}"
        ) from None
    finally:
        unsubscribe()
