"""Faults at a byte, whatever pieces the bytes come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py.errors import SettingsError
from belay_py.testing import Corrupt, Cut, Drop, Duplicate, Stall
from belay_py.testing.wire_faults import check, from_json, to_json
from belay_py.testing.wire_lane import ROOM, Lane, Model

if TYPE_CHECKING:
    from belay_py.testing import Fault

SENT = bytes(range(100))
PIECES = st.lists(st.integers(1, 40), min_size=1, max_size=100)


def carry(lane: Lane, pieces: list[int], data: bytes = SENT) -> bytes:
    """Send data in pieces, write all that comes out."""
    got = b""
    while data:
        size = pieces.pop(0) if pieces else len(data)
        lane.accept(data[:size], 0)
        data = data[size:]
        got += drain(lane)
    return got


def drain(lane: Lane) -> bytes:
    lane.advance(0)
    got = bytes(lane.out)
    lane.delivered(len(got))
    return got


@given(PIECES, st.integers(0, 99))
def test_a_cut_delivers_exactly_the_bytes_before_it(pieces: list[int], place: int) -> None:
    lane = Lane("to_host", Model())
    lane.at(place, Cut())
    assert carry(lane, pieces) == SENT[:place]
    assert (lane.is_over, lane.passed, lane.room) == (True, place, 0)


def test_a_cut_waits_until_what_is_before_it_was_written() -> None:
    lane = Lane("to_host", Model())
    lane.at(3, Cut())
    lane.accept(b"abcdef", 0)
    lane.advance(0)
    assert (bytes(lane.out), lane.is_over) == (b"abc", False)
    lane.delivered(3)
    assert lane.is_over


def test_a_cut_happens_with_the_last_byte_before_it_and_at_zero_with_the_first() -> None:
    lane = Lane("to_host", Model())
    lane.at(2, Cut())
    assert carry(lane, [], b"ab") == b"ab"
    assert lane.is_over
    lane.reset()
    lane.at(0, Cut())
    lane.advance(0)
    assert not lane.is_over
    assert carry(lane, [], b"a") == b""
    assert lane.is_over


@given(PIECES, st.integers(0, 99))
def test_a_stall_keeps_the_rest_for_later(pieces: list[int], place: int) -> None:
    lane = Lane("to_board", Model())
    lane.at(place, Stall())
    assert carry(lane, pieces) == SENT[:place]
    assert lane.stalled
    lane.stalled = False
    assert drain(lane) == SENT[place:]


@pytest.mark.parametrize(
    ("fault", "instead"),
    [
        (Drop(), b""),
        (Drop(3), b""),
        (Corrupt(), bytes([10 ^ 0x20])),
        (Corrupt(0xFF, 2), bytes([10 ^ 0xFF, 11 ^ 0xFF])),
        (Duplicate(), bytes([10, 10])),
        (Duplicate(2), bytes([10, 10, 11, 11])),
    ],
)
@given(pieces=PIECES)
def test_other_faults_change_their_bytes_and_no_other(pieces: list[int], fault: Fault, instead: bytes) -> None:
    lane = Lane("to_host", Model())
    lane.at(10, fault)
    assert carry(lane, pieces) == SENT[:10] + instead + SENT[10 + getattr(fault, "count", 1) :]
    assert lane.taken == 100
    assert lane.armed == []


def test_places_are_counted_as_the_sender_sent_them() -> None:
    lane = Lane("to_host", Model())
    lane.at(1, Drop())
    lane.at(3, Duplicate())
    lane.at(5, Corrupt(1))
    lane.at(5, Duplicate())
    lane.at(8, Cut())
    assert carry(lane, [], b"abcdefghij") == b"acddeggggh"[:5] + b"gggh"
    assert lane.passed == 9


@given(PIECES, st.integers(0, 5))
def test_chance_does_not_depend_on_how_bytes_are_split(pieces: list[int], seed: int) -> None:
    model = Model(drop=0.1, corrupt=0.1, duplicate=0.1, seed=seed)
    whole, split = Lane("to_host", model), Lane("to_host", model)
    expected = carry(whole, [])
    assert carry(split, pieces) == expected
    split.reset()
    assert carry(split, []) == expected


def test_chance_is_about_what_was_asked_for() -> None:
    data = bytes(20_000)
    kept = carry(Lane("to_host", Model(drop=0.1)), [], data)
    assert 17_500 < len(kept) < 18_500
    changed = carry(Lane("to_host", Model(corrupt=0.1)), [], data)
    assert len(changed) == len(data)
    assert 1_500 < len(data) - changed.count(0) < 2_500
    assert all(byte.bit_count() <= 1 for byte in changed)
    assert 21_500 < len(carry(Lane("to_host", Model(duplicate=0.1)), [], data)) < 22_500


def test_directions_and_seeds_have_chances_of_their_own() -> None:
    found = {carry(Lane(name, Model(drop=0.5, seed=seed)), []) for name in ("to_host", "to_board") for seed in range(3)}
    assert len(found) == 6


def test_a_restart_counts_anew_and_keeps_what_is_armed() -> None:
    lane = Lane("to_host", Model())
    lane.at(50, Cut())
    assert carry(lane, [], SENT[:20]) == SENT[:20]
    lane.restart()
    assert (lane.passed, lane.armed) == (0, [50])
    assert carry(lane, []) == SENT[:50]


def test_a_full_lane_has_no_room() -> None:
    lane = Lane("to_host", Model())
    lane.stalled = True
    assert lane.room == ROOM
    lane.accept(bytes(ROOM), 0)
    lane.advance(0)
    assert lane.room == 0


def test_what_vanishes_is_not_counted() -> None:
    lane = Lane("to_host", Model())
    lane.vanish()
    assert carry(lane, []) == b""
    assert (lane.passed, lane.room) == (0, ROOM)


def test_a_place_that_has_passed_is_refused() -> None:
    lane = Lane("to_host", Model())
    carry(lane, [])
    with pytest.raises(SettingsError, match="byte 99 to the host has passed already \\(100 have\\)"):
        lane.at(99, Cut())


@pytest.mark.parametrize("fault", [Cut(), Stall(), Drop(2), Corrupt(1, 3), Duplicate(4)])
def test_faults_are_written_and_read(fault: Fault) -> None:
    assert from_json(to_json(fault)) == fault


@pytest.mark.parametrize(
    ("place", "fault"),
    [(-1, Cut()), (1.5, Cut()), (True, Cut()), (0, Drop(0)), (0, Corrupt(0)), (0, Corrupt(256)), (0, "cut"), (0, Cut)],
)
def test_what_is_no_fault_is_refused(place: int, fault: Fault) -> None:
    with pytest.raises(SettingsError):
        check(place, fault)


@pytest.mark.parametrize(
    "wrong",
    [
        {"baudrate": 0},
        {"baudrate": 9600.5},
        {"latency": -1},
        {"jitter": float("nan")},
        {"drop": 1.1},
        {"corrupt": -0.1},
        {"latency": "1ms"},
        {"jitter": None},
        {"drop": "0.1"},
        {"seed": None},
    ],
)
def test_a_wire_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Model(**wrong)  # type: ignore[arg-type]  # the point of it
