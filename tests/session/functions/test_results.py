"""Results of remote functions are what their return annotations say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from belay_py import SettingsError, UnexpectedValue, ValueNotSupported

from .boards import fresh


@dataclass
class Reading:
    celsius: float


async def test_results_are_what_the_annotation_says(port: str) -> None:
    async with fresh(port) as session:

        def as_float(value: Any) -> float:
            return value  # type: ignore[no-any-return]  # which is looked at

        def as_reading(value: Any) -> Reading:
            return value  # type: ignore[no-any-return]  # the same

        def as_none(value: Any) -> None:
            return value  # type: ignore[no-any-return]  # the same

        def as_list(value: Any) -> list[Reading] | None:
            return value  # type: ignore[no-any-return]  # the same

        def as_it_is(value):  # type: ignore[no-untyped-def]
            return value

        number = await session.task(as_float)(21)
        assert (number, type(number)) == (21.0, float)
        assert await session.task(as_reading)({"celsius": 21}) == Reading(21.0)
        assert await session.task(as_list)([{"celsius": 1.5}]) == [Reading(1.5)]
        assert await session.task(as_it_is)((1, [2])) == (1, [2])
        await session.task(as_none)(None)
        with pytest.raises(UnexpectedValue, match="not a Reading"):
            await session.task(as_reading)({"celsius": "warm"})
        with pytest.raises(UnexpectedValue):
            await session.task(as_none)(1)

        @session.task
        def gives_a_function() -> object:
            return len

        with pytest.raises(ValueNotSupported, match="the value is a function"):
            await gives_a_function()


async def test_an_annotation_that_is_no_type_is_refused_before_anything_is_sent(port: str) -> None:
    async with fresh(port) as session:

        def unknown(value: int) -> Nonsense:  # type: ignore[name-defined]  # noqa: F821  that is the point
            return value

        sent = session.statistics.bytes_sent
        with pytest.raises(SettingsError, match="return annotation 'Nonsense' of .*unknown cannot be resolved"):
            await session.task(unknown)(1)  # type: ignore[misc]  # the same
        assert session.statistics.bytes_sent == sent
