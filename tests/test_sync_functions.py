"""Remote functions on the blocking session: the same answers, errors and endings."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import belay_py
from belay_py import DeviceSessionState, ExecutionError, Interrupted, InvalidArguments, SessionTimeout, task
from belay_py.session.functions import remote
from belay_py.session.functions.setups import Setups
from belay_py.sync import DeviceSession, functions
from belay_py.sync.loop_thread import loop_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

log: list[Any]  # on the board
more: int  # on the board


@task
def double(value: Any) -> Any:
    return value * 2


def numbers(end: int) -> Iterator[int | None]:
    global log  # noqa: PLW0603  it is the board's
    log = []
    try:
        for number in range(end):
            yield number or None
    finally:
        log.append("closed")


@task
def stop() -> None:
    while True:
        pass


@pytest.mark.parametrize("name", ["RemoteFunction", "RemoteGenerator"])
def test_the_same_names_as_the_asynchronous_ones(name: str) -> None:
    theirs, mine = getattr(remote, name), getattr(functions, name)
    names = {found for found, _ in inspect.getmembers(mine) if not found.startswith("_")}
    assert names >= {"within"}
    assert {found for found, _ in inspect.getmembers(theirs) if not found.startswith("_")} - names <= {"seconds"}


def test_calls(port: str) -> None:
    with DeviceSession(port) as session:
        remote_double = session.task(double)
        assert remote_double([1.5, "ab"]) == [1.5, "ab"] * 2
        before = session.statistics.operations
        assert [remote_double(number) for number in range(20)] == list(range(0, 40, 2))
        assert session.statistics.operations - before == 20

        @session.task(name="tripled", timeout=20)
        def triple(value: int) -> int:
            return value * 3

        assert triple(5) == 15
        assert session.evaluate("tripled(6)") == 18
        assert repr(triple).startswith("<sync <task test_calls.<locals>.triple> on <DeviceSession")
        with pytest.raises(InvalidArguments):
            triple()  # type: ignore[call-arg]  # that is the point
        with pytest.raises(ExecutionError) as caught:
            remote_double(None)
        assert caught.value.frames[-1].host_file == __file__
        with pytest.raises(SessionTimeout):
            session.task(stop).within(0.1)()


def test_generators(port: str) -> None:
    with DeviceSession(port) as session:
        count = session.task(numbers)
        assert list(count(3)) == [None, 1, 2]
        for value in count(1000):
            if value == 2:
                break
        assert session.evaluate("log") == ["closed"]
        values = count(1000)
        assert next(values) is None
        assert session.evaluate("log") == []
        values.close()
        assert session.evaluate("log") == ["closed"]
        values = count.within(20)(1000)
        next(values)
        session.soft_reset()
        with pytest.raises(belay_py.BoardWasReset):
            next(values)


@pytest.mark.parametrize("what", ["generator", "stream"])
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_one_that_is_collected_in_the_loops_thread_is_closed_too(port: str, what: str) -> None:
    with DeviceSession(port) as session:
        session.execute("log = []")
        endless = "try:\n while True: print(1)\nfinally: log.append('closed')"
        values = session.task(numbers)(1000) if what == "generator" else session.stream(endless)
        next(values)
        holder = [values]
        holder.append(holder)  # type: ignore[arg-type]  # a circle, which the garbage collector finds
        del values, holder
        collected = threading.Event()
        loop_thread()._loop.call_soon_threadsafe(gc.collect)
        loop_thread()._loop.call_soon_threadsafe(collected.set)
        collected.wait()
        while session.evaluate("log") != ["closed"]:
            pass


def test_threads_that_register_the_first_functions_at_once(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    class Slow(Setups):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            both.wait()

    def prepare() -> None:
        global log  # noqa: PLW0603  it is the board's
        log = [1]

    def prepare_more() -> None:
        global more  # noqa: PLW0603  it is the board's
        more = 2

    monkeypatch.setattr("belay_py.session.functions.setups.Setups", Slow)
    session = DeviceSession(port)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(session.setup, [prepare, prepare_more]))
    with session:
        assert session.evaluate("log, more") == ([1], 2)


def test_they_look_like_their_functions(port: str) -> None:
    session = DeviceSession(port)

    @session.task
    def scaled(value: int, *, by: float = 2.0) -> float:
        """Scale a value."""
        return value * by

    assert (scaled.__name__, scaled.__doc__) == ("scaled", "Scale a value.")  # type: ignore[attr-defined]  # as functions have
    assert str(inspect.signature(scaled)) == "(value: 'int', *, by: 'float' = 2.0) -> 'float'"


def test_setups_and_teardowns(port: str) -> None:
    session = DeviceSession(port)

    @session.setup
    def prepare() -> None:
        global log  # noqa: PLW0603  it is the board's
        log = ["prepared"]

    @session.teardown()
    def clear_up() -> None:
        log.append("cleared up")

    with session:
        assert session.evaluate("log") == ["prepared"]
        session.soft_reset()
        assert session.evaluate("log") == ["prepared"]
        prepare()
    with DeviceSession(port) as session:
        assert session.evaluate("log") == ["prepared", "cleared up"]


def test_calls_from_many_threads(port: str) -> None:
    with DeviceSession(port) as session, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(session.task(double), range(100))) == list(range(0, 200, 2))


def test_interrupt_and_ctrl_c(port: str) -> None:
    with DeviceSession(port) as session, ThreadPoolExecutor(1) as pool:
        endless = session.task(stop)
        running = pool.submit(endless)
        while not running.done():
            session.interrupt()
            time.sleep(0)
        with pytest.raises(Interrupted):
            running.result()

        def press_ctrl_c() -> None:
            while session.state is not DeviceSessionState.ACTIVE:
                time.sleep(0)
            os.kill(os.getpid(), signal.SIGINT)

        presser = threading.Thread(target=press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the thread must be there before
            presser.start()
            endless()
        presser.join()
        assert session.task(double)(21) == 42
