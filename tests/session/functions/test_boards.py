"""A class that describes a kind of board, at sessions of every sort."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

import belay_py.sync
from belay_py import (
    BelayError,
    Board,
    BoardWasReset,
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionState,
    ExecutionError,
    InvalidArguments,
    InvalidCode,
    SessionClosed,
    SessionTimeout,
    setup,
    task,
    teardown,
)

from .boards import executions, fresh

if TYPE_CHECKING:
    from collections.abc import Iterator

offset: int  # on the board
seen: list[str]  # on the board


class Counter(Board):
    """Counts on the board."""

    @setup
    @staticmethod
    def prepare() -> None:
        global offset, seen  # noqa: PLW0603  they are the board's
        offset = 10
        try:
            seen.append("prepare")
        except NameError:
            seen = ["prepare"]

    @task
    @staticmethod
    def read(number: int = 1) -> int:
        return offset + number

    @task(timeout=60)
    @staticmethod
    def count(end: int) -> Iterator[int]:
        try:
            yield from range(offset, end)
        finally:
            seen.append("closed")

    @task
    @staticmethod
    def fail() -> None:
        raise ValueError("on purpose")

    @teardown
    @staticmethod
    def clear_up() -> None:
        seen.append("clear up")


class Better(Counter):
    """Overrides one, adds one."""

    @task
    @staticmethod
    def read(number: int = 2) -> int:
        return offset * number

    @setup
    @staticmethod
    def prepare_more() -> None:
        global offset  # noqa: PLW0603  it is the board's
        offset += 1

    fail = None  # type: ignore[assignment]  # it has none


async def test_on_an_asynchronous_session(port: str) -> None:
    async with fresh(port) as session:
        counter = Counter(session)
        assert await counter.read(3) == 13
        assert await counter.read() == 11
        sent = executions(session)
        assert await counter.read(number=5) == 15
        assert len(sent) == 1
        assert [number async for number in counter.count(13)] == [10, 11, 12]
        async with aclosing(counter.count(1000)) as stream:
            assert await anext(stream) == 10
        assert await session.evaluate("seen") == ["prepare", "closed", "closed"]
        with pytest.raises(ExecutionError, match="ValueError: on purpose") as caught:
            await counter.fail()
        assert caught.value.frames[-1].host_file == __file__
        with pytest.raises(InvalidArguments):
            await counter.read("a", "b")  # type: ignore[call-arg, arg-type]  # that is the point
        await session.reconnect()
        assert await session.evaluate("seen") == ["prepare", "closed", "closed", "prepare"]
        assert "Counter at <DeviceSession" in repr(counter)


def test_on_a_blocking_session(port: str) -> None:
    session = belay_py.sync.DeviceSession(port)
    counter = Counter(session)
    session.connect(reset="soft")
    with session:
        assert counter.read(3) == 13
        assert list(counter.count(13)) == [10, 11, 12]
        for number in counter.count(1000):
            assert number == 10
            break
        assert session.evaluate("seen") == ["prepare", "closed", "closed"]
        with pytest.raises(ExecutionError, match="ValueError: on purpose"):
            counter.fail()
        session.disconnect()
        session.connect()
        assert session.evaluate("seen") == ["prepare", "closed", "closed", "clear up", "prepare"]


async def test_a_class_inherits_and_overrides(port: str) -> None:
    async with fresh(port) as session:
        better = Better(session)
        assert await better.read() == 22
        assert await better.read(1) == 11
        assert better.fail is None
        assert [it.name for it in Better._tasks.values()] == ["prepare", "read", "count", "clear_up", "prepare_more"]


async def test_in_a_lease_and_only_in_it(port: str) -> None:
    async with DeviceSessionManager() as manager:
        own = await manager.create_session("a", port)
        async with manager.lease("a") as session:
            await session.soft_reset()
            counter = Counter(session)
            assert await counter.read(3) == 13
            stream = counter.count(1000)
            assert await anext(stream) == 10
            await session.soft_reset()
            assert await session.evaluate("seen") == ["prepare"]
            assert await counter.read() == 11
        with pytest.raises(SessionClosed, match="the lease of 'a' is over"):
            await counter.read()
        # What a lease sets up is set up in that lease.
        async with manager.lease("a") as session:
            await session.soft_reset()
            assert await session.evaluate("'seen' in globals()") is False
            assert await Counter(session).read() == 11
        async with manager.lease("a") as session:
            await Counter(session).read()
            assert await session.evaluate("seen") == ["prepare", "prepare"]
            await session.disconnect()
            assert await session.evaluate("seen") == ["prepare", "prepare", "clear up"]
        # On the manager's own session each call takes a lease for its length.
        assert await Counter(own).read(7) == 17


async def test_what_on_connect_describes_is_set_up_whenever_the_board_begins_anew(port: str) -> None:
    async def on_connect(session: DeviceSession) -> None:
        Counter(session)

    async with DeviceSessionManager() as manager:
        await manager.create_session("a", port, on_connect=on_connect)
        async with manager.lease("a") as session:
            await session.execute("seen = []")
            await session.soft_reset()
            assert await session.evaluate("seen") == ["prepare"]
            sent = executions(session)
            assert await Counter(session).read() == 11
            assert not any(b"offset = 10" in code for code in sent)
            await session.reconnect()
            assert await session.evaluate("seen") == ["prepare", "prepare"]


@pytest.mark.parametrize("by", ["on_connect", "the manager's session"])
async def test_after_a_restart_that_nobody_asked_for_the_next_lessee_gets_a_board_set_up(port: str, by: str) -> None:
    async def on_connect(session: DeviceSession) -> None:
        Counter(session)

    async with DeviceSessionManager() as manager:
        if by == "on_connect":
            await manager.create_session("a", port, on_connect=on_connect)
        else:
            Counter(await manager.create_session("a", port))
        async with manager.lease("a") as session:
            await session.execute("seen = []")
            with pytest.raises(BoardWasReset):
                await session.execute("raise SystemExit")
            assert (await session.execute("print('seen' in globals())")).output == "False\n"
            await session.execute("seen = []")
        async with manager.lease("a") as session:
            assert (await session.execute("print(seen)")).output == "['prepare']\n"


@pytest.mark.parametrize("how", ["remove", "close", "close while it is used"])
async def test_a_manager_tears_down_what_on_connect_described(port: str, how: str) -> None:
    async def on_connect(session: DeviceSession) -> None:
        Counter(session)

    async with DeviceSessionManager() as manager:
        session = await manager.create_session("a", port, on_connect=on_connect)
        await session.execute("seen = []")
        match how:
            case "remove":
                await manager.remove("a")
            case "close":
                await manager.close()
            case _:
                async with manager.lease("a") as leased:
                    running = asyncio.create_task(leased.execute("while True: pass"))
                    while leased.state is not DeviceSessionState.ACTIVE:
                        await asyncio.sleep(0)
                    await manager.close(grace=0)
                    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], BelayError)
    async with DeviceSession(port) as session:
        assert await session.evaluate("seen") == ["clear up"]


async def test_a_board_whose_setup_fails_is_passed_over_for_another(port: str) -> None:
    class Broken(Board):
        @setup
        @staticmethod
        def prepare() -> None:
            raise OSError(5)

    async def on_connect(session: DeviceSession) -> None:
        if session.device_id == "broken":
            Broken(session)

    async with DeviceSessionManager() as manager:
        await manager.create_session("broken", port, tags={"kind"}, on_connect=on_connect, connect=False)
        await manager.create_session("sound", "virtual:", tags={"kind"})

        async def use() -> str:
            async with manager.lease(tags={"kind"}) as session:
                await session.execute("1")
                return session.device_id

        assert await asyncio.gather(*(use() for _ in range(5))) == ["sound"] * 5
        with pytest.raises(ExecutionError, match="OSError"):
            await manager["broken"].execute("1")


def test_what_a_blocking_on_connect_describes_is_set_up_too(port: str) -> None:
    def on_connect(session: belay_py.sync.DeviceSession) -> None:
        session.execute("seen = ['on_connect']")
        Counter(session)

    with belay_py.sync.DeviceSessionManager() as manager:
        manager.create_session("a", port, on_connect=on_connect)
        with manager.lease("a") as session:
            assert session.evaluate("seen") == ["on_connect", "prepare"]
            assert Counter(session).read() == 11
            assert session.evaluate("seen") == ["on_connect", "prepare"]


async def test_a_tasks_timeout_can_be_another_one(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout):
            await Counter(session).read.within(0)()


def test_a_class_that_is_no_kind_of_board_or_has_no_session_is_told() -> None:
    class NoBoard:
        @task
        @staticmethod
        def read() -> int:
            return 1

    class Forgetful(Board):
        def __init__(self) -> None:  # without what it should call
            pass

        @task
        @staticmethod
        def read() -> int:
            return 1

    with pytest.raises(BelayError, match=r"read runs on boards, and this is none's"):
        NoBoard().read()
    with pytest.raises(BelayError, match=r"Forgetful is at no session; call super\(\).__init__\(session\)"):
        Forgetful().read()


def test_a_function_with_self_is_refused() -> None:
    def describe() -> Any:
        class Wrong(Board):
            @task
            def read(self) -> int:
                return 1

        return Wrong

    # Python 3.11 wraps what is raised while a class is made.
    with pytest.raises((InvalidCode, RuntimeError)) as caught:
        describe()
    error = caught.value if isinstance(caught.value, InvalidCode) else caught.value.__cause__
    assert "has a parameter self, but functions for boards get none" in str(error)
