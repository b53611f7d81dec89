"""Calls of remote functions on real MicroPython: one round trip each, whatever happens to the board in between."""

from __future__ import annotations

import asyncio
import linecache
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    BoardWasReset,
    CodeTooLarge,
    CommunicationOptions,
    DeviceSession,
    ExecutionError,
    Interrupted,
    SessionTimeout,
    task,
)

from ..test_evaluating import reset_unseen
from .boards import executions, fresh

if TYPE_CHECKING:
    from ...conftest import Board

counter: int  # on the board
machine: Any  # the board's module
ON_THE_HOST = 7


@task
def double(value: Any) -> Any:
    return value * 2


@task
def triple_of_double(value: Any) -> Any:
    return double(value) * 3


@task
def count() -> int:
    global counter  # noqa: PLW0603  it is the board's
    try:
        counter += 1
    except NameError:
        counter = 1
    return counter


@task
def stop() -> None:
    while True:
        pass


async def test_a_function_is_sent_once_and_each_call_is_one_round_trip(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def read(pin: int, *, samples: int = 2) -> int:
            """What it does, which no board needs to know."""
            # Nor this.
            return pin * samples

        sent = executions(session)
        assert await read(3) == 6
        assert sum(b"return pin" in code for code in sent) == 1
        del sent[:]
        before = session.statistics
        assert [await read(number, samples=number) for number in range(50)] == [number**2 for number in range(50)]
        assert len(sent) == 50
        assert session.statistics.operations - before.operations == 50
        assert max(map(len, sent)) < 60
        assert not any(b"board needs" in code or b"Nor this" in code for code in sent)


async def test_one_function_for_several_sessions() -> None:
    async with DeviceSession("virtual:") as one, DeviceSession("virtual:") as other:
        first, second = one.task(count), other.task(count)
        assert [await first(), await first(), await second(), await first()] == [1, 2, 1, 3]


async def test_functions_of_one_name_do_not_get_in_each_others_way(port: str) -> None:
    async with fresh(port) as session:

        def first() -> Any:
            @session.task
            def fact(n: int) -> int:
                return 1 if n < 2 else n * fact(n - 1)  # type: ignore[operator]  # see below

            return fact

        def second() -> Any:
            @session.task
            def fact(n: int) -> int:
                return 0 if n < 2 else n + fact(n - 1)  # type: ignore[operator]  # see below

            return fact

        product, total = first(), second()
        assert [await product(5), await total(5), await product(6), await total(6)] == [120, 14, 720, 20]


async def test_a_function_that_is_defined_anew_is_the_new_one(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def version() -> int:
            return 1

        assert await version() == 1

        @session.task
        def version() -> int:
            return 2

        assert await version() == 2


async def test_tasks_call_each_other(port: str) -> None:
    async with fresh(port) as session:
        assert await session.task(triple_of_double)(7) == 42
        assert await session.task(triple_of_double)("ab") == "ab" * 6

        @session.task
        def inner() -> int:
            return 20

        @session.task
        def outer() -> int:
            return inner() + double(11)  # type: ignore[no-any-return]  # on the board it is no coroutine

        assert await outer() == 42


async def test_a_name_in_the_main_namespace(port: str) -> None:
    async with fresh(port) as session:

        @session.task(name="measure", imports=("machine", "from sys import platform"))
        def read(number: int = 3) -> tuple[str, int]:
            return str(machine.Pin(number)), number  # noqa: F821  it is declared above

        assert await read() == ("Pin(3, mode=IN)", 3)
        assert await session.evaluate("measure(4)[1], platform") == (4, "webassembly")
        names = await session.evaluate("[name for name in globals() if name.startswith('_belay_f') or name == 'read']")
        assert len(names) == 1


async def test_what_a_function_changes_stays(port: str) -> None:
    async with fresh(port) as session:
        assert [await session.task(count)() for _ in range(3)] == [1, 2, 3]
        assert await session.evaluate("counter") == 3


@pytest.mark.parametrize("how", ["soft_reset", "hard_reset", "reconnect", "disconnect", "unseen", "hard unseen"])
async def test_between_two_calls(board: Board, how: str) -> None:
    async with fresh(board.port) as session:
        remote, sent = session.task(count), executions(session)
        assert [await remote(), await remote()] == [1, 2]
        del sent[:]
        match how:
            case "unseen":
                await reset_unseen(session)
            case "hard unseen":
                board.process.reset()
            case "disconnect":
                await session.disconnect()
                await session.connect()
            case _:
                await getattr(session, how)()
        kept = how in ("reconnect", "disconnect")
        assert await remote() == (3 if kept else 1)
        assert session.boot_epoch == (1 if kept else 2)
        assert sum(b"counter += 1" in code for code in sent) == (0 if kept else 1)


@pytest.mark.parametrize("board_tells", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("framing", ["marked", "plain"])
async def test_a_reset_that_nobody_saw(port: str, framing: Any, board_tells: bool) -> None:
    async with fresh(port, communication=CommunicationOptions(framing=framing)) as session:
        assert session._standing.channel is not None
        if framing == "plain" and not board_tells:  # as on a board without sys.stdout
            session._standing.channel.life = None
        remote = session.task(count)
        assert [await remote(), await remote()] == [1, 2]
        await reset_unseen(session)
        assert await remote() == 1
        assert session.boot_epoch == 2


async def test_a_program_that_removes_our_names(port: str) -> None:
    async with fresh(port) as session:
        remote = session.task(count)
        assert await remote() == 1
        await session.execute("for name in [n for n in globals() if n.startswith('_belay_f')]: del globals()[name]")
        assert await remote() == 2
        await session.execute("import builtins\ndel builtins._belay_v")
        assert await remote() == 3
        assert session.boot_epoch == 1


async def test_a_restart_while_it_runs_is_told(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def leave() -> None:
            raise SystemExit

        with pytest.raises(BoardWasReset):
            await leave()
        assert await session.task(count)() == 1


async def test_an_exception_in_the_middle_has_the_hosts_places(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def fail(text: str, number: int) -> int:
            """A docstring,

            in lines.
            """

            def inner() -> int:

                # A comment.
                return len(text) // number  # here

            value = f"""
 blanks {number}
            {text}"""
            return len(value) and inner()

        assert await fail("abcd", 2) == 2
        with pytest.raises(ExecutionError, match="ZeroDivisionError") as caught:
            await fail("abcd", 0)
        error = caught.value
        assert error.frames[0].host_file is None
        shown = [
            (frame.function, linecache.getline(__file__, frame.host_line or 0).strip()) for frame in error.frames[1:]
        ]
        assert shown == [
            ("fail", "return len(value) and inner()"),
            ("inner", "return len(text) // number  # here"),
        ]
        assert {frame.host_file for frame in error.frames[1:]} == {__file__}
        assert "return len(text) // number  # here" in error.host_traceback
        assert isinstance(error.__cause__, ZeroDivisionError)
        assert await fail("abcd", 1) == 4


async def test_the_places_of_a_task_that_another_one_calls(port: str) -> None:
    async with fresh(port) as session:
        with pytest.raises(ExecutionError, match="TypeError") as caught:
            await session.task(triple_of_double)(None)
        assert [frame.function for frame in caught.value.frames] == ["<module>", "triple_of_double", "double"]
        assert [bool(frame.host_line) for frame in caught.value.frames] == [False, True, True]
        assert "    return value * 2" in caught.value.host_traceback


async def test_what_the_board_does_not_take_is_told_with_its_place(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def fail() -> None:
            text = "\N{DEGREE SIGN}"  # which MicroPython does not know by its name
            assert text

        with pytest.raises(ExecutionError, match="unicode name escapes"):
            await fail()
        assert await session.task(count)() == 1


async def test_a_name_of_the_hosts_module_is_explained(port: str) -> None:
    async with fresh(port) as session:

        @session.task
        def read() -> int:
            return ON_THE_HOST

        with pytest.raises(ExecutionError, match="NameError") as caught:
            await read()
        assert "ON_THE_HOST is a name of the host's" in "\n".join(caught.value.__notes__)


async def test_deadlines_interrupts_and_cancellations(port: str) -> None:
    async with fresh(port) as session:
        endless = session.task(stop)
        with pytest.raises(SessionTimeout) as caught:
            await endless.within(0.1)()
        assert caught.value.recovered
        running = asyncio.create_task(endless())
        while not running.done():
            await session.interrupt()
            await asyncio.sleep(0)
        with pytest.raises(Interrupted):
            await running
        running = asyncio.create_task(endless())
        while session.state.name != "ACTIVE":
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await session.task(count)() == 1
        assert session.task(timeout=0.1)(count.function).seconds == 0.1


async def test_calls_of_many_tasks_at_once(port: str) -> None:
    async with fresh(port) as session:
        remote, sent = session.task(count), executions(session)
        assert sorted(await asyncio.gather(*(remote() for _ in range(20)))) == list(range(1, 21))
        assert sum(b"counter += 1" in code for code in sent) == 1


async def test_policies_hold_for_calls(port: str) -> None:
    async with fresh(port, retry={"max_attempts": 3, "delay": 0.0}) as session:
        await session.execute("tries = 0")

        def flaky() -> int:
            global tries  # noqa: PLW0603  it is the board's
            tries += 1
            if tries < 3:
                raise SystemExit
            return tries

        with pytest.raises(BoardWasReset):
            await session.task(flaky)()
        with pytest.raises(ExecutionError, match="NameError"):  # it was tried again, and the restart took `tries` along
            await session.task(idempotent=True)(flaky)()


tries: int  # on the board


async def test_arguments_that_do_not_fit_are_told() -> None:
    async with DeviceSession("virtual:?memory=65536") as session:
        remote = session.task(double)
        with pytest.raises(CodeTooLarge) as caught:
            await remote(bytes(30_000))
        assert (
            "120003 characters of it are arguments; put such data on the board as a file" in caught.value.__notes__[-1]
        )
        assert await remote(b"ab") == b"abab"


async def test_calls_with_checksums(port: str) -> None:
    async with fresh(port, communication=CommunicationOptions(integrity=True)) as session:
        assert await session.task(triple_of_double)([1.5, "ab"]) == [1.5, "ab"] * 6
