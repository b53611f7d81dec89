"""The schedule of a serial line, to the nanosecond: arithmetic, so it can be exact."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from belay_py.testing.wire_line import SECOND, Line, leaving

RATES = st.sampled_from([9600, 19200, 57600, 115200, 230400, 460800, 921600])


def line(baudrate: int | None, latency: int = 0, jitter: int = 0) -> Line:
    return Line(baudrate, latency, jitter, Random(1))


def arrivals(made: Line, times: range) -> list[int]:
    """At which of these times each byte arrived first."""
    found: list[int] = []
    for now in times:
        count = made.arrived(now)
        made.take(count)
        found += [now] * count
    return found


@given(RATES, st.integers(1, 20_000), st.integers(0, 10**18))
def test_a_transfer_takes_ten_bits_a_byte_however_long_it_is(rate: int, count: int, start: int) -> None:
    made = line(rate)
    made.accept(count, start)
    end = start + ceil(Fraction(10 * SECOND * count, rate))
    assert leaving(start, count, rate) == end
    assert made.arrived(end - 1) == count - 1
    assert made.arrived(end) == count


@given(RATES, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_pieces_that_come_before_the_line_is_free_follow_without_a_gap(rate: int, pieces: list[int]) -> None:
    made, now = line(rate), 0
    for piece in pieces:
        made.accept(piece, now)
        now += piece  # a nanosecond a byte is faster than any line here
    end = leaving(0, sum(pieces), rate)
    assert (made.arrived(end - 1), made.arrived(end)) == (sum(pieces) - 1, sum(pieces))


def test_a_free_line_begins_when_the_byte_comes() -> None:
    made = line(9600)
    made.accept(1, 0)
    assert made.arrived(leaving(0, 1, 9600)) == 1
    made.take(1)
    made.accept(1, 5 * SECOND)
    assert made.next_look(0, 0) == leaving(5 * SECOND, 1, 9600)


def test_latency_delays_all_and_takes_no_line_time() -> None:
    made = line(115200, latency=SECOND)
    made.accept(1000, 0)
    end = leaving(0, 1000, 115200) + SECOND
    assert (made.arrived(end - 1), made.arrived(end)) == (999, 1000)


@given(st.integers(1, 1000), st.integers(1, 100))
def test_jitter_keeps_the_order_and_its_limit(jitter: int, count: int) -> None:
    made = line(None, latency=50, jitter=jitter)
    made.accept(count, 0)
    when = arrivals(made, range(50 + jitter + 1))
    assert len(when) == count
    assert when == sorted(when)
    assert min(when) >= 50


def test_a_line_without_a_rate_takes_no_time() -> None:
    made = line(None)
    made.accept(5, 7)
    assert made.arrived(0) == 5
    assert made.next_look(0, 0) is None


def test_the_last_byte_is_looked_for_on_time_and_those_before_not_too_often() -> None:
    made = line(921600)
    made.accept(3, 0)
    assert made.next_look(0, 0) == leaving(0, 1, 921600)
    assert made.next_look(0, 20_000) == 20_000
    assert made.next_look(0, SECOND) == leaving(0, 3, 921600)
