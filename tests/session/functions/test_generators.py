"""Generators on the board: a value when it is asked for, and an end that the board learns of."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BoardWasReset,
    DeviceSessionManager,
    Disconnected,
    ExecutionError,
    InvalidArguments,
    SessionClosed,
    SessionTimeout,
    UnexpectedValue,
    ValueNotSupported,
    task,
)

from ..test_evaluating import reset_unseen
from .boards import executions, fresh

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ...conftest import Board

log: list[Any]  # on the board


@task
def numbers(end: int, bad: int = -1) -> Iterator[int]:
    global log  # noqa: PLW0603  it is the board's
    log = []
    try:
        for number in range(end):
            log.append(number)
            if number == bad:
                raise ValueError("a bad one")
            yield number
        log.append("end")
    finally:
        log.append("closed")


@task
def values(*given: Any) -> Iterator[Any]:
    yield from given


async def test_each_value_is_computed_when_it_is_asked_for(port: str) -> None:
    async with fresh(port) as session:
        count = session.task(numbers)
        sent = executions(session)
        async with aclosing(count(1000)) as stream:
            assert not sent
            assert await anext(stream) == 0
            del sent[:]
            for expected in (1, 2, 3):
                assert await anext(stream) == expected
            assert len(sent) == 3
            assert max(map(len, sent)) < 60
            # Other operations come between two values.
            assert await session.evaluate("log") == [0, 1, 2, 3]
            assert await anext(stream) == 4
        assert await session.evaluate("log") == [0, 1, 2, 3, 4, "closed"]


async def test_all_of_it(port: str) -> None:
    async with fresh(port) as session:
        assert [value async for value in session.task(numbers)(5)] == list(range(5))
        assert await session.evaluate("log") == [0, 1, 2, 3, 4, "end", "closed"]
        given = (None, (), [1.5, "ab"], b"\x04", ..., False, {"a": (1,)}, ((),))
        assert [value async for value in session.task(values)(*given)] == list(given)
        assert [value async for value in session.task(values)()] == []


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "forget", "never begun"])
async def test_a_consumer_that_leaves_closes_it_on_the_board(port: str, how: str) -> None:
    async with fresh(port) as session:
        await session.execute("log = []")

        async def consume() -> None:
            async with aclosing(session.task(numbers)(1000)) as stream:
                if how == "never begun":
                    return
                async for value in stream:
                    if value < 2:
                        continue
                    match how:
                        case "break":
                            break
                        case "raise":
                            raise LookupError
                        case "cancel":
                            asyncio.current_task().cancel()  # type: ignore[union-attr]  # it is one
                            await asyncio.sleep(0)

        if how == "forget":
            async for value in session.task(numbers)(1000):
                if value == 2:
                    break
            gc.collect()
            while "closed" not in await session.evaluate("log"):
                pass
        else:
            [result] = await asyncio.gather(asyncio.create_task(consume()), return_exceptions=True)
            expected = {"raise": LookupError, "cancel": asyncio.CancelledError}.get(how, type(None))
            assert isinstance(result, expected)
        assert await session.evaluate("log") == ([] if how == "never begun" else [0, 1, 2, "closed"])


async def test_a_program_may_have_redefined_what_it_needs(port: str) -> None:
    async with fresh(port) as session:
        await session.execute("next = StopIteration = None")
        assert [value async for value in session.task(numbers)(3)] == [0, 1, 2]


async def test_an_exception_in_the_middle(port: str) -> None:
    async with fresh(port) as session:
        seen = []
        with pytest.raises(ExecutionError, match="ValueError: a bad one") as caught:  # noqa: PT012  up to where
            async for value in session.task(numbers)(10, bad=3):
                seen.append(value)  # noqa: PERF401  up to where
        assert seen == [0, 1, 2]
        frame = caught.value.frames[-1]
        assert (frame.function, frame.host_file) == ("numbers", __file__)
        assert 'raise ValueError("a bad one")' in caught.value.host_traceback
        assert await session.evaluate("log") == [0, 1, 2, 3, "closed"]


async def test_one_that_never_began_on_the_board_needs_no_closing(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async with fresh(port) as session:
        sent = executions(session)
        stream = session.task(numbers)(3)
        beginning = asyncio.ensure_future(anext(stream))
        while not sent:
            await asyncio.sleep(0)
        beginning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await beginning
        assert await session.task(values)(1).__anext__() == 1
        assert not caplog.records


async def test_what_it_raises_when_it_is_closed_is_told(port: str) -> None:
    @task
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise KeyError("not closed")

    async with fresh(port) as session:
        stream = session.task(stubborn)()
        assert await anext(stream) == 1
        with pytest.raises(ExecutionError, match="KeyError: not closed"):
            await stream.aclose()
        assert await session.evaluate("1") == 1


async def test_a_deadline_stops_it(port: str) -> None:
    @task
    def slow() -> Iterator[int]:
        global log  # noqa: PLW0603  it is the board's
        log = []
        try:
            yield 1
            while True:
                pass
        finally:
            log.append("closed")

    async with fresh(port) as session:
        stream = session.task(slow).within(0.2)()
        assert await anext(stream) == 1
        with pytest.raises(SessionTimeout) as caught:
            await anext(stream)
        assert caught.value.recovered
        assert await session.evaluate("log") == ["closed"]


@pytest.mark.parametrize("how", ["soft_reset", "hard_reset", "unseen", "hard unseen", "unseen, and another one"])
async def test_a_reset_between_two_values_is_told(board: Board, how: str) -> None:
    async with fresh(board.port) as session:
        count = session.task(numbers)
        stream = count(10)
        assert [await anext(stream), await anext(stream)] == [0, 1]
        match how:
            case "unseen" | "unseen, and another one":
                await reset_unseen(session)
            case "hard unseen":
                board.process.reset()
            case _:
                await getattr(session, how)()
        if how == "unseen, and another one":
            assert [value async for value in count(2)] == [0, 1]
        sent = session.statistics.bytes_sent
        with pytest.raises(BoardWasReset, match="restarted between two values of numbers"):
            await anext(stream)
        assert ("unseen" in how and "another" not in how) == (session.statistics.bytes_sent > sent)
        assert [value async for value in count(2)] == [0, 1]
        await stream.aclose()


async def test_a_reconnect_between_two_values_does_no_harm(port: str) -> None:
    async with fresh(port) as session:
        stream = session.task(numbers)(3)
        assert await anext(stream) == 0
        await session.reconnect()
        assert [value async for value in stream] == [1, 2]


async def test_one_that_could_not_be_closed_is_closed_later(port: str) -> None:
    async with fresh(port) as session:
        count = session.task(numbers)
        stream = count(10)
        assert await anext(stream) == 0
        await session.disconnect()
        await stream.aclose()
        await session.connect()
        assert await session.evaluate("log") == [0]

        @session.task
        def look() -> list[Any]:
            return log

        assert await look() == [0, "closed"]


async def test_a_lost_link_is_told(board: Board) -> None:
    async with fresh(board.port) as session:
        stream = session.task(numbers)(10)
        assert await anext(stream) == 0
        await session.disconnect()
        with pytest.raises(Disconnected):
            await anext(stream)


async def test_one_that_a_lease_left_open_is_closed_in_the_next_one(port: str) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("a", port)
        async with manager.lease("a") as session:
            stream = session.task(numbers)(10)
            assert await anext(stream) == 0
        with pytest.raises(SessionClosed):
            await anext(stream)
        async with manager.lease("a") as session:
            assert [value async for value in session.task(values)(7)] == [7]
            assert await session.evaluate("log") == [0, "closed"]


async def test_several_at_once(port: str) -> None:
    async with fresh(port) as session:
        count = session.task(values)

        async def all_of(*given: int) -> list[int]:
            return [value async for value in count(*given)]

        expected = [list(range(end)) for end in range(8)]
        assert await asyncio.gather(*(all_of(*given) for given in expected)) == expected


async def test_values_are_what_the_annotation_says(port: str) -> None:
    async with fresh(port) as session:

        def floats(*given: Any) -> Generator[float, None, None]:
            yield from given

        found = [value async for value in session.task(floats)(1, 2.5)]
        assert [(value, type(value)) for value in found] == [(1.0, float), (2.5, float)]
        stream = session.task(floats)(1, "warm")
        assert await anext(stream) == 1.0
        with pytest.raises(UnexpectedValue):
            await anext(stream)


async def test_what_cannot_be_sent_closes_it(port: str) -> None:
    def objects() -> Iterator[Any]:
        global log  # noqa: PLW0603  it is the board's
        log = []
        try:
            yield [1, len]
        finally:
            log.append("closed")

    async with fresh(port) as session:
        with pytest.raises(ValueNotSupported, match=r"^item \[1\] is a function"):
            await anext(session.task(objects)())
        assert await session.evaluate("log") == ["closed"]
        with pytest.raises(ValueNotSupported, match="^the value is a function"):
            await anext(session.task(lambda_free)())


def lambda_free() -> Iterator[Any]:
    yield len


async def test_arguments_that_do_not_fit_are_refused_at_once(port: str) -> None:
    async with fresh(port) as session:
        with pytest.raises(InvalidArguments):
            session.task(numbers)()  # type: ignore[call-arg]  # that is the point
