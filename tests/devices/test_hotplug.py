"""When a board that was away is there again."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py.devices.hotplug import SETTLE, Arrival
from belay_py.devices.udev import PortEvents, port_events


def arrivals(*looks: tuple[float, str | None]) -> list[float]:
    arrival = Arrival()
    return [when for when, trace in looks if arrival.seen(trace, when)]


def test_it_arrives_when_it_has_stayed_for_a_while_and_once() -> None:
    assert arrivals((0, None), (1, "a"), (1.2, "a"), (1.3, "a"), (2, "a"), (3, "a")) == [1.3]


def test_what_was_there_at_the_beginning_does_not_arrive_until_it_was_away() -> None:
    assert arrivals((0, "a"), (1, "a"), (2, None), (3, "a"), (4, "a")) == [4]


def test_a_change_between_two_looks_is_an_arrival() -> None:
    assert arrivals((0, "a"), (1, "b"), (2, "b")) == [2]


def test_a_loose_plug_begins_anew() -> None:
    assert arrivals((0, None), (1, "a"), (1.2, None), (1.4, "a"), (1.6, "b"), (1.8, "b"), (1.9, "b")) == [1.9]


@given(st.lists(st.tuples(st.floats(0.01, 2), st.sampled_from([None, "a", "b"]))))
def test_each_arrival_was_away_before_and_there_for_long_enough(steps: list[tuple[float, str | None]]) -> None:
    arrival, now, seen, settled = Arrival(), 0.0, [], "nothing"
    for step, trace in steps:
        now += step
        seen.append((now, trace))
        if arrival.seen(trace, now):
            stay = []
            for when, what in reversed(seen):
                if what != trace:
                    break
                stay.append(when)
            assert trace is not None
            assert now - stay[-1] >= SETTLE - 1e-3
            assert trace != settled
            settled = trace
        if trace is None:
            settled = "nothing"


def test_udev_tells_of_ports_that_come() -> None:
    def events(*actions: str | OSError) -> PortEvents:
        queue = list(actions)

        def poll(timeout: float) -> SimpleNamespace | None:
            assert timeout == 0
            if not queue:
                return None
            action = queue.pop(0)
            if isinstance(action, OSError):
                raise action
            return SimpleNamespace(action=action)

        return PortEvents(SimpleNamespace(poll=poll))

    assert not events().drain()
    assert not events("remove", "unbind").drain()
    assert events("remove", "add").drain()
    assert events(OSError(errno.ENOBUFS, "overflow")).drain()


def test_without_pyudev_there_are_only_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyudev", None)
    assert port_events() is None


def test_with_pyudev_a_descriptor_can_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyudev")
    events = port_events()
    assert events is not None
    assert events.fileno() >= 0
    events.drain()
    events.close()
