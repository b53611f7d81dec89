"""What goes wrong while code of our own goes first: none of the caller's has run, and the error says why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BoardWasReset, DeviceSession, Disconnected
from belay_py.session.batches import KIT
from belay_py.session.many import LARGEST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def function() -> None: ...


WORK = pytest.mark.parametrize(
    ("work", "ours", "theirs"),
    [
        (lambda session: session.evaluate("'theirs'"), "the encoder of values", "the code had not started"),
        (lambda session: session.evaluate("if 'theirs': pass\n1"), "the encoder of values", "the code had not started"),
        (lambda session: session.execute_many(["'theirs'"] * 2), "what runs snippets", "none of them had started"),
        (lambda session: session.task(function)(), "the function", "it was not called"),
    ],
    ids=["value", "block", "many", "task"],
)


def replace_ours(session: DeviceSession, act: Callable[[Any], Awaitable[Any]]) -> None:
    """Have the executions that are none of the caller's replaced by ``act``, which gets what runs code."""
    run = session._operations.run_begun

    async def run_begun(channel: Any, source: bytes, *rest: Any) -> Any:
        if b"theirs" in source:
            return await run(channel, source, *rest)
        return await act(lambda code: run(channel, code, *rest))

    session._operations.run_begun = run_begun  # type: ignore[assignment, method-assign]  # it passes the caller's on


@WORK
async def test_a_disconnect_by_this_program_is_no_lost_link(port: str, work: Any, ours: str, theirs: str) -> None:
    async with DeviceSession(port) as session:
        running = asyncio.Event()

        async def hang(run: Any) -> Any:
            asyncio.get_running_loop().call_soon(running.set)
            return await run(b"while True: pass")

        replace_ours(session, hang)
        begun = asyncio.create_task(work(session))
        await running.wait()
        await session.disconnect()
        with pytest.raises(Disconnected) as caught:
            await begun
        first = f"{ours[0].upper()}{ours[1:]} was going first"
        assert str(caught.value) == f"this program disconnected it. {first}; {theirs}"


@WORK
async def test_a_board_that_restarts_has_run_nothing_of_the_callers(
    port: str, work: Any, ours: str, theirs: str
) -> None:
    async with DeviceSession(port) as session:
        replace_ours(session, lambda run: run(b"raise SystemExit"))
        with pytest.raises(BoardWasReset) as caught:
            await work(session)
        assert caught.value.outcome == "not_started"
        expected = f"the board restarted before or while {ours} went first: its variables are gone, and {theirs}"
        assert str(caught.value) == expected


async def test_of_snippets_that_have_run_nobody_says_that_they_had_not_started(port: str) -> None:
    sent: list[bytes] = []
    async with DeviceSession(port) as session:
        run = session._operations.run_begun

        async def run_begun(channel: Any, source: bytes, *rest: Any) -> Any:
            sent.append(source)
            return await run(channel, b"raise SystemExit" if sent.count(KIT.parts[0]) == 2 else source, *rest)

        session._operations.run_begun = run_begun  # type: ignore[assignment, method-assign]  # all but one go on
        first = f"import builtins\ndel builtins.{KIT.name}" + "#" * (LARGEST - 1000)
        with pytest.raises(BoardWasReset, match="and the next ones had not started") as caught:
            await session.execute_many([first, "2", "#" * 1000, "4"])
        assert caught.value.outcome == "unknown"
        assert 0 < len(caught.value.results) < 4
