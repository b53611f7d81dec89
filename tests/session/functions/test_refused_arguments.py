"""Arguments that need a board of their own to be looked at, or that get to none."""

from __future__ import annotations

import array
import enum
import warnings
from collections import defaultdict, deque
from typing import Any

import pytest

from belay_py import DeviceSession, InvalidArguments


def identity(value: Any) -> Any:
    return value


async def test_a_deque_that_is_full_says_so_rather_than_forget(port: str) -> None:
    async with DeviceSession(port) as session:

        @session.task
        def grown(values: Any) -> Any:
            try:
                values.append(0)
            except IndexError:
                return "full"
            return list(values)

        assert await grown(deque([1, 2])) == "full"
        assert await grown(deque([1, 2], 2)) == [2, 0]


async def test_short_strings_leave_nothing_behind_on_the_board(port: str) -> None:
    async with DeviceSession(port) as session:
        same = session.task(identity)
        await same("warm")

        async def kept() -> str:
            return (await session.execute("import micropython\nmicropython.qstr_info()")).output

        await kept()
        before = await kept()
        for number in range(30):
            assert await same(f"{number}é") == f"{number}é"
        assert await kept() == before


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


LOOP: list[Any] = []
LOOP.append(LOOP)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Python 3.13 tells that it will go
    UNICODE = array.array("u", "x")
REFUSED: list[tuple[Any, str]] = [
    (object(), "the value is a object"),
    (Colour.RED, "the value is a Colour"),
    (Text("x"), "the value is a Text"),
    (defaultdict(int), "the value is a defaultdict"),
    (memoryview(b"x"), "the value is a memoryview"),
    (identity, "the value is a function"),
    ([1, (2, object())], r"item \[1\]\[1\] is a object"),
    ({"a": {"b": object()}}, r"item \['a'\]\['b'\] is a object"),
    ({(1, Colour.RED): 1}, r"item  \(a key\)\[1\] is a Colour"),
    ({Colour.RED}, r"item  \(an element\) is a Colour"),
    ({1 << 20_000: object()}, r"item \[...\] is a object"),
    (LOOP, "item .* is nested more than 100 levels deep: does it contain itself"),
    (UNICODE, "the value is an .* which boards do not have"),
]
if array.array("l").itemsize > 4:
    REFUSED.append(
        (array.array("l", [2**31]), "the value is an .* an integer of more than 32 bits, which boards would cut")
    )


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
async def test_what_has_no_form_is_refused_before_anything_is_sent(port: str, value: Any, message: str) -> None:
    async with DeviceSession(port) as session:
        sent = session.statistics.bytes_sent
        with pytest.raises(
            InvalidArguments, match=rf"argument 1 of identity\(\): {message}.*Nothing was sent"
        ) as caught:
            await session.task(identity)(value)
        assert isinstance(caught.value, TypeError)
        assert session.statistics.bytes_sent == sent


def two(first: int, second: int = 2) -> int:
    return first * second


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'first'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"third": 3}, "got an unexpected keyword argument 'third'"),
        ((1,), {"first": 3}, "multiple values for argument 'first'"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(
    port: str, args: Any, kwargs: Any, message: str
) -> None:
    async with DeviceSession(port) as session:
        sent = session.statistics.bytes_sent
        with pytest.raises(InvalidArguments, match=rf"two\(\): {message}; it is two\(first, second=2\)"):
            await session.task(two)(*args, **kwargs)
        assert session.statistics.bytes_sent == sent
