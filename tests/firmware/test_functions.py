"""Remote functions on the Pico's own firmware, whose floats have 32 bits."""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import Board, DeviceSession, ExecutionError, setup, task

if TYPE_CHECKING:
    from collections.abc import Iterator

seen: list[Any]  # on the board


class Pico(Board):
    """What is tried here."""

    @setup
    @staticmethod
    def prepare() -> None:
        global seen  # noqa: PLW0603  it is the board's
        seen = ["prepared"]

    @task
    @staticmethod
    def same(value: Any, *others: Any, **named: Any) -> Any:
        return value

    @task
    @staticmethod
    def count(end: int) -> Iterator[int]:
        try:
            yield from range(end)
        finally:
            seen.append("closed")

    @task
    @staticmethod
    def fail(text: str) -> None:
        raise ValueError(text)


def nearest(value: float) -> float:
    """The float of 32 bits."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


VALUES: list[Any] = [
    *[None, True, 0, -1, 2**62, -(2**200), "", "é", "short", "a longer one", "\x00\x03\x04", b"\x04", bytearray(b"x")],
    *[[1, (2, {"k": {3}})], range(1, 9, 2), frozenset((1, 2)), deque([1]), OrderedDict([("b", 1), ("a", 2)])],
]
# No subnormal ones: the chip's own routines make zero of them.
FLOATS = [0.0, -0.0, 1.0, 0.5, 0.1, -16777215.0, 1e22, 3.4e38, 1.2e-38, 2 / 3, 16777217.0]


async def test_functions_on_a_pico(pico_port: str) -> None:
    session = DeviceSession(pico_port)
    pico = Pico(session)
    async with session:
        for value in VALUES:
            found = await pico.same(value, "another", named=(1.5, 2.5))
            assert found == value
            assert type(found) is (dict if isinstance(value, OrderedDict) else type(value))
        for number in FLOATS:
            assert struct.pack(">d", await pico.same(number)) == struct.pack(">d", nearest(number))
        assert await pico.same(FLOATS) == list(map(nearest, FLOATS))
        async with aclosing(pico.count(1000)) as numbers:
            assert [await anext(numbers), await anext(numbers)] == [0, 1]
        assert await session.evaluate("seen") == ["prepared", "closed"]
        await session.soft_reset()
        assert [number async for number in pico.count(3)] == [0, 1, 2]
        assert await session.evaluate("seen") == ["prepared", "closed"]
        with pytest.raises(ExecutionError, match="ValueError: told") as caught:
            await pico.fail("told")
        assert caught.value.frames[-1].host_file == __file__
        await pico.same(1)
        before = session.statistics.operations
        assert [await pico.same(number) for number in range(10)] == list(range(10))
        assert session.statistics.operations - before == 10
