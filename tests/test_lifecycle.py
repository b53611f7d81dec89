"""The states: the machine, the compiled table, and that the two agree."""

from __future__ import annotations

import itertools

import pytest

from belay_py import DeviceSessionState, IllegalTransition
from belay_py.lifecycle import MACHINE, TABLE, TRANSITIONS, Lifecycle

TRIGGERS = [trigger for trigger, _, _ in TRANSITIONS]

# How to get to each state from CREATED.
PATHS = {
    "CREATED": [],
    "CONNECTING": ["connect"],
    "CONNECTED": ["connect", "connected"],
    "ACTIVE": ["connect", "connected", "begin"],
    "IDLE": ["connect", "connected", "begin", "finish"],
    "DISCONNECTING": ["connect", "disconnect"],
    "DISCONNECTED": ["connect", "disconnect", "disconnected"],
    "ERROR": ["connect", "fail"],
    "DISPOSED": ["dispose"],
}


class Owner:
    """What a session is to its lifecycle."""


def at(state: DeviceSessionState) -> tuple[Lifecycle, Owner]:
    owner = Owner()
    lifecycle = Lifecycle(owner)
    for trigger in PATHS[state.name]:
        lifecycle.fire(trigger)
    assert lifecycle.state is state
    return lifecycle, owner


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(DeviceSessionState, TRIGGERS)))
def test_the_machine_and_the_table_agree(state: DeviceSessionState, trigger: str) -> None:
    by_machine, _keep = at(state)
    by_table, _keep_too = at(state)
    assert by_machine.allows(trigger) == ((state, trigger) in TABLE)
    if (state, trigger) in TABLE:
        by_machine.fire(trigger)
        by_table.flip(trigger)
        assert by_machine.state is by_table.state is TABLE[state, trigger]
        return
    for move in (by_machine.fire, by_table.flip):
        with pytest.raises(IllegalTransition, match=f"cannot {trigger} a session that is {state.name}"):
            move(trigger)
    assert by_machine.state is by_table.state is state


def test_a_disposed_session_allows_nothing_and_leaves_the_machine() -> None:
    lifecycle, _owner = at(DeviceSessionState.DISPOSED)
    assert not any(lifecycle.allows(trigger) for trigger in TRIGGERS)
    assert lifecycle not in MACHINE.models


def test_no_trigger_passes_by_the_table() -> None:
    assert set(MACHINE.events) == set(TRIGGERS)
