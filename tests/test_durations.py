"""Durations as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from belay_py import SettingsError
from belay_py.durations import EXAMPLES, format_duration, parse_duration

_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("1.5", 1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30 m", 5400),
        (" 2D ", 172800),
        ("250ms", 0.25),
        ("1m0.5s", 60.5),
        ("1.5h", 5400),
        ("0.1s", 0.1),
        ("inf", math.inf),
        ("Never", math.inf),
    ],
)
def test_what_is_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write seconds or a unit, as in " + EXAMPLES),
        ("-5m", "write seconds or a unit"),
        ("nan", "write seconds or a unit"),
        ("1e3", "write seconds or a unit"),
        ("٣", "write seconds or a unit"),
        ("1:30", "write seconds or a unit"),
        ("5 m 3", "write seconds or a unit"),
        ("5 minutes", "for minutes write m, as in 90, 250ms, 5m"),
        ("5x", "the units are d, h, m, s and ms"),
        ("30m1h", "the largest first, as in 1h30m"),
        ("1h1h", "each unit once"),
        ("9" * 390, "too long a duration; write inf"),
        ("9" * 5000, "write seconds or a unit"),
    ],
)
def test_what_is_none_is_told_with_right_ones(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match="duration") as refusal:
        parse_duration(text)
    message = str(refusal.value)
    assert words in message
    assert len(message) < 250


@given(st.floats(min_value=0, allow_nan=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.001)
@example(0.043000000000000003)  # times 1000 it is rounded to 43
@example(1e9 + 1)
def test_what_is_written_reads_back_as_the_same_number(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.tuples(*(st.integers(0, 1000) for _ in _UNITS)), st.sampled_from(("", " ")))
def test_units_add_up(counts: tuple[int, ...], between: str) -> None:
    parts = [(f"{count}{between}{unit}", count * size) for count, (unit, size) in zip(counts, _UNITS, strict=True)]
    assert parse_duration(between.join(text for text, _ in parts)) == sum(seconds for _, seconds in parts)


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except SettingsError as refusal:
        assert "duration" in str(refusal)  # noqa: PT017  what is looked at is that nothing else is raised
