"""The blocking manager on real MicroPython: the same sessions, leased from any thread, and Ctrl-C."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import belay_py
from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceBusy,
    DeviceNotFound,
    DeviceSessionManagerOptions,
    DeviceSessionOptions,
    DeviceSessionState,
    Interrupted,
    SessionClosed,
    SessionTimeout,
    SettingsError,
    events,
)
from belay_py.session.group import innermost
from belay_py.sync import DeviceSession, DeviceSessionManager, Lease
from belay_py.testing import ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

State = DeviceSessionState


@pytest.fixture
def manager() -> Iterator[DeviceSessionManager]:
    with DeviceSessionManager() as manager:
        yield manager


def until_waiting(manager: DeviceSessionManager, count: int = 1) -> None:
    while len(manager._manager._pool.plan.waiting) < count:
        time.sleep(0)


def public(kind: type) -> dict[str, Any]:
    shown = {"__enter__", "__exit__", "__iter__", "__len__", "__contains__", "__getitem__"}
    found = {name: value for name, value in inspect.getmembers(kind) if not name.startswith("_") or name in shown}
    asynchronous = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    for name, blocking in asynchronous.items():
        if hasattr(kind, name):
            found[blocking] = getattr(kind, name)
    return found


@pytest.mark.parametrize(
    ("theirs", "mine", "without"),
    [
        (belay_py.DeviceSessionManager, DeviceSessionManager, set()),
        (belay_py.Lease, Lease, {"claim", "since", "is_reported", "report"}),
    ],
)
def test_the_same_names_and_parameters_as_the_asynchronous_one(theirs: type, mine: type, without: set[str]) -> None:
    ours, there = public(mine), public(theirs)
    assert there.keys() - ours.keys() - without == set()
    assert ours.keys() - there.keys() - without <= {"options"}  # a property, where the other has an attribute
    for name in there.keys() & ours.keys():
        if inspect.isroutine(there[name]):
            names = list(inspect.signature(there[name]).parameters)
            assert list(inspect.signature(ours[name]).parameters) == names, name


def test_the_same_attributes_as_the_asynchronous_one() -> None:
    theirs = {name for name in vars(belay_py.DeviceSessionManager()) if not name.startswith("_")}
    assert theirs - {name for name, _ in inspect.getmembers(DeviceSessionManager)} == set()


def test_a_script(port: str) -> None:
    with DeviceSessionManager(lease_timeout=20) as manager:
        made = manager.create_session("sensor", port, tags={"pico"})
        assert made.state is State.CONNECTED
        assert manager["sensor"] is made
        assert manager.get("sensor") is made
        assert manager.ensure("sensor", port) is made
        assert list(manager) == [made] == manager.sessions_by_last_used() == manager.find(tags={"pico"})
        assert (manager.ids(), manager.devices(), len(manager)) == (("sensor",), ("sensor",), 1)
        assert "sensor" in manager
        assert manager.get("other") is None
        with manager.lease("sensor") as session:
            assert session.execute("x = 5\nprint('hi')").output == "hi\n"
            assert manager.idle_sessions() == []
            assert "leased" in repr(session)
        with manager.lease(tags={"pico"}, timeout=5) as session:
            assert session.evaluate("x") == 5
        assert manager.idle_sessions() == [made]
        assert made.evaluate("x + 1") == 6
        assert manager.options.lease_timeout == 20
        assert repr(manager) == "<sync DeviceSessionManager of 1 sessions, 1 of 100 open, 0 leases>"
        with pytest.raises(SettingsError, match="there is a session 'sensor' already"):
            manager.create_session("sensor", port)
        with pytest.raises(SettingsError, match="needs the name of a device"):
            manager.lease()  # type: ignore[call-overload]  # that is the test
        with pytest.raises(DeviceNotFound, match="did you mean 'sensor'"), manager.lease("sensr"):
            pass
        assert manager.remove("sensor")
        assert not manager.remove("sensor")
        assert made.state is State.DISPOSED
    with pytest.raises(SessionClosed, match="the manager is closing, or was closed"), manager.lease("sensor"):
        pass
    manager.close()


def test_devices_of_the_settings_and_profiles() -> None:
    settings = DeviceSessionManagerOptions(
        devices={"left": DeviceSessionOptions(port="virtual:", tags={"a"})},  # type: ignore[arg-type]  # any collection
        profiles={"slow": {"operation_timeout": 60.0}},
    )
    with DeviceSessionManager(settings) as manager:
        assert (manager.devices(), len(manager)) == (("left",), 0)
        with manager.lease("left") as left:
            assert left.evaluate("1 + 1") == 2
        built = manager.build_session("slow", "virtual:", device_id="own")
        assert isinstance(built, DeviceSession)
        assert (built.options.operation_timeout, built.device_id) == (60.0, "own")
        assert "own" not in manager


def test_several_boards_come_together_or_not_at_all(manager: DeviceSessionManager) -> None:
    for name in ("a", "b"):
        manager.create_session(name, "virtual:", tags={"bench"})
    with manager.lease("a", "b") as (first, second):
        assert (first.device_id, second.device_id) == ("a", "b")
        with ThreadPoolExecutor(1) as other:
            refused = other.submit(manager.lease("b", timeout=0.05).acquire)
            with pytest.raises(DeviceBusy, match="b is used by .*test_sync_manager.py:"):
                refused.result()
    with manager.lease(tags={"bench"}, count=2) as boards:
        assert {board.device_id for board in boards} == {"a", "b"}


def test_a_lease_without_a_block(port: str, manager: DeviceSessionManager) -> None:
    manager.create_session("sensor", port)
    lease = manager.lease("sensor")
    assert lease.lease_id == 0
    session = lease.acquire()
    assert lease.lease_id > 0
    with pytest.raises(BelayError, match="this lease was taken already"):
        lease.acquire()
    assert session.evaluate("7") == 7
    assert manager["sensor"].evaluate("8") == 8  # this thread has the lease
    assert ", held" in repr(lease)
    lease.release()
    lease.release()
    assert ", released" in repr(lease)
    with pytest.raises(SessionClosed, match="the lease of 'sensor' is over"):
        session.execute("pass")


def test_ctrl_c_right_behind_a_release_leaves_no_membership(manager: DeviceSessionManager) -> None:
    board = ScriptedBoard()  # it is gone when nobody has it
    manager.create_session("sensor", board.port)
    lease = manager.lease("sensor")
    lease.acquire()
    run = lease._run_if_alive

    def interrupted(coroutine: Coroutine[Any, Any, None]) -> None:
        lease._run_if_alive = run  # type: ignore[method-assign]  # as below
        run(coroutine)
        raise KeyboardInterrupt

    lease._run_if_alive = interrupted  # type: ignore[method-assign]  # the moment cannot be met otherwise
    assert innermost() is not None
    with pytest.raises(KeyboardInterrupt):
        lease.release()
    assert innermost() is None


def test_calls_of_others_wait_for_the_lease_and_its_session_may_be_used_by_them(
    port: str, manager: DeviceSessionManager
) -> None:
    made = manager.create_session("sensor", port)
    made.execute("log = []")
    with ThreadPoolExecutor(3) as others:
        with manager.lease("sensor") as mine:
            call = others.submit(made.execute, "log.append('call')")
            until_waiting(manager)
            assert others.submit(mine.evaluate, "len(log)").result() == 0
            with mine.exclusive():
                made.execute("log.append('mine')")
                inside = others.submit(mine.execute, "log.append('after the block')")
                made.execute("log.append('mine too')")
            inside.result()

            def exclusive() -> None:
                with mine.exclusive(timeout=5):
                    mine.execute("log.append('exclusive')")

            others.submit(exclusive).result()
            assert "".join(others.submit(lambda: list(mine.stream("print(1)\nprint(2)"))).result()) == "1\n2\n"
            assert not call.done()
        call.result()
    assert made.evaluate("log") == ["mine", "mine too", "after the block", "exclusive", "call"]


def test_eight_threads_lease_three_boards() -> None:
    names = ("a", "b", "c")
    with DeviceSessionManager(lease_timeout=60) as manager, ThreadPoolExecutor(8) as pool:
        for name in names:
            manager.create_session(name, "virtual:", tags={"board"}).execute("count = 0")
        owners: dict[str, int] = {}

        def work(number: int) -> tuple[int, str]:
            kind = number % 3
            lease: Lease[Any] = (
                manager.lease(names[number % 2])
                if kind == 0
                else manager.lease(tags={"board"})
                if kind == 1
                else manager.lease("a", "c")
            )
            with lease as leased:
                sessions = leased if isinstance(leased, tuple) else (leased,)
                for session in sessions:
                    assert owners.setdefault(session.device_id, number) == number
                answers = [session.evaluate(f"({number}, count)")[0] for session in sessions]
                for session in sessions:
                    session.execute("count += 1")
                    del owners[session.device_id]
            return answers[0], sessions[0].device_id

        answers = list(pool.map(work, range(120)))
        assert [number for number, _ in answers] == list(range(120))
        assert sum(session.evaluate("count") for session in manager) == 120 + 40  # 40 leases were of two boards
        assert manager._manager._pool.leases == {}


def test_ctrl_c_while_waiting_for_a_lease(port: str, manager: DeviceSessionManager) -> None:
    manager.create_session("sensor", port)
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with manager.lease("sensor") as session:
            session.execute("pass")
            held.set()
            over.wait()

    def press_ctrl_c() -> None:
        until_waiting(manager)
        os.kill(os.getpid(), signal.SIGINT)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    for _ in range(10):
        presser = threading.Thread(target=press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the thread must be there before
            presser.start()
            with manager.lease("sensor"):
                pytest.fail("the board was had twice")
        presser.join()
        assert not manager._manager._pool.plan.waiting
    over.set()
    holder.join()
    with manager.lease("sensor") as session:
        assert session.evaluate("1") == 1
    assert manager._manager._pool.leases == {}


def test_ctrl_c_at_any_moment_of_leasing_loses_nothing(port: str, manager: DeviceSessionManager) -> None:
    manager.create_session("sensor", port)
    in_acquire = 0
    turns = 0
    while in_acquire < 10:
        turns = (turns + 777) % 50_000
        go = threading.Event()

        def press_ctrl_c(go: threading.Event = go, turns: int = turns) -> None:
            go.wait()
            for _ in range(turns):
                pass
            os.kill(os.getpid(), signal.SIGINT)

        presser = threading.Thread(target=press_ctrl_c)
        presser.start()
        try:
            go.set()
            while True:
                lease = manager.lease("sensor")
                try:
                    lease.acquire()
                except KeyboardInterrupt:
                    in_acquire += 1
                    raise
                try:
                    lease.release()
                finally:
                    lease.release()  # an interpreter may let Ctrl-C in before the first line of anything
        except KeyboardInterrupt:
            presser.join()
        assert manager._manager._pool.leases == {}
    with manager.lease("sensor", timeout=5) as session:
        assert session.evaluate("1") == 1


def test_ctrl_c_in_a_lease_stops_the_board_and_ends_the_lease(port: str, manager: DeviceSessionManager) -> None:
    made = manager.create_session("sensor", port)

    def press_ctrl_c() -> None:
        while made.state is not State.ACTIVE:
            time.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press_ctrl_c)
    with pytest.raises(KeyboardInterrupt), manager.lease("sensor") as session:  # noqa: PT012  as above
        presser.start()
        session.execute("while True: pass")
    presser.join()
    assert made.execute("print('next')").output == "next\n"


def test_what_still_runs_at_the_end_of_a_lease_is_stopped(port: str, manager: DeviceSessionManager) -> None:
    made = manager.create_session("sensor", port)
    with ThreadPoolExecutor(1) as other:
        with manager.lease("sensor") as session:
            running = other.submit(session.execute, "while True: pass")
            while made.state is not State.ACTIVE:
                time.sleep(0)
        with pytest.raises(Interrupted):
            running.result()
    assert made.evaluate("1") == 1


# ---- how it is ----


def test_how_a_manager_is_and_what_it_has_done() -> None:
    settings = DeviceSessionManagerOptions(
        devices={
            "left": DeviceSessionOptions(port="virtual:"),
            "none": DeviceSessionOptions(port="/dev/there-is-no-such-port"),
        },
        leak_stacks=True,
    )
    with DeviceSessionManager(settings) as manager:
        told: list[tuple[int, int, str, BelayError | None]] = []
        errors = manager.warm_up("left", "none", progress=lambda *progress: told.append(progress))
        assert list(errors) == ["none"]
        assert isinstance(errors["none"], DeviceNotFound)
        assert [done for done, *_ in told] == [1, 2]
        lease = manager.lease("left")
        with lease:
            assert manager.health().active == 1
        assert "test_how_a_manager_is_and_what_it_has_done" in lease.stack.splitlines()[-2]
        assert manager.statistics().leases_granted == 1
        assert manager.cleanup() == 0
        assert not manager.release_quarantine("left")
        with pytest.raises(DeviceNotFound):
            manager.release_quarantine("lef")


# ---- on_connect ----


def test_a_plain_on_connect_prepares_the_board_before_anybody_gets_it(manager: DeviceSessionManager) -> None:
    seen: list[tuple[str, object]] = []

    def prepare(session: DeviceSession) -> None:
        seen.append((threading.current_thread().name[:16], session.execute("led = 'ready'").output))
        with session.exclusive():
            session.execute("import sys")
        assert manager["sensor"].evaluate("led", timeout=1) == "ready"  # it belongs to the preparation too

    made = manager.create_session("sensor", "virtual:", on_connect=prepare)
    assert made.evaluate("led") == "ready"
    made.disconnect()
    assert manager.ensure("sensor", "virtual:", on_connect=prepare) is made
    assert made.evaluate("led") == "ready"  # a new board, and prepared as the first one
    manager.remove("sensor")
    assert manager.ensure("sensor", "virtual:", on_connect=prepare).evaluate("led") == "ready"
    assert seen == [("belay on_connect", "")] * 3


def test_an_asynchronous_on_connect_gets_the_asynchronous_session(manager: DeviceSessionManager) -> None:
    async def prepare(session: belay_py.DeviceSession) -> None:
        await session.execute("led = 'ready'")

    assert manager.create_session("sensor", "virtual:", on_connect=prepare).evaluate("led") == "ready"


@pytest.mark.parametrize("failure", [ValueError("no led"), SystemExit(3), StopIteration()])
def test_an_on_connect_that_fails_leaves_nothing(failure: BaseException, manager: DeviceSessionManager) -> None:
    def prepare(_: DeviceSession) -> None:
        raise failure

    with pytest.raises((ConnectionFailed, BelayError), match=type(failure).__name__):
        manager.create_session("sensor", "virtual:", on_connect=prepare)
    assert "sensor" not in manager
    assert manager.create_session("sensor", "virtual:").evaluate("1") == 1


def test_an_on_connect_that_takes_too_long_reaches_the_board_no_more(port: str, manager: DeviceSessionManager) -> None:
    late: list[BaseException] = []
    over = threading.Event()

    def prepare(session: DeviceSession) -> None:
        try:
            session.execute("while True: pass", timeout=60)
        except BelayError as error:
            late.append(error)
        try:
            session.execute("pass")
        except BelayError as error:
            late.append(error)
        over.set()

    with pytest.raises(SessionTimeout, match="on_connect did not end before the deadline"):
        manager.create_session("sensor", port, on_connect=prepare, connection_timeout=3)
    over.wait()
    assert isinstance(late[0], Interrupted)
    assert isinstance(late[1], SessionClosed)


# ---- events ----


def test_listeners_get_the_blocking_session(port: str, manager: DeviceSessionManager) -> None:
    told: list[events.SessionEvent] = []
    connected: list[Any] = []
    done, disposed = threading.Event(), threading.Event()

    @manager.on(events.SessionConnected)
    def plain(event: events.SessionConnected) -> None:
        connected.append(event.session.evaluate("40 + 2"))
        connected.append(event.session)
        done.set()

    @manager.on(events.SessionConnected)
    async def asynchronous(event: events.SessionConnected) -> None:
        connected.append(type(event.session))

    def all_of_them(event: events.SessionEvent) -> None:
        told.append(event)
        if isinstance(event, events.SessionDisposed):
            disposed.set()

    end = manager.subscribe(all_of_them)
    made = manager.create_session("sensor", port)
    with manager.lease("sensor"):
        pass
    done.wait()
    assert connected == [belay_py.DeviceSession, 42, made]
    assert plain.__name__ == "plain"
    manager.remove("sensor")
    disposed.wait()
    end()
    kinds = [type(event) for event in told if not isinstance(event, events.StateChanged)]
    assert kinds[:2] == [events.SessionCreated, events.SessionConnected]
    assert kinds[-2:] == [events.SessionDisconnected, events.SessionDisposed]
    assert {events.LeaseGranted, events.LeaseReleased} <= set(kinds)
    assert {id(event.session) for event in told} == {id(made)}
    [granted] = [event for event in told if isinstance(event, events.LeaseGranted)]
    assert "test_sync_manager.py:" in granted.holder


def test_a_listener_that_exits_does_not_end_the_loop(port: str, caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def bad(_: events.SessionEvent) -> None:
        raise SystemExit(3)

    def good(event: events.SessionEvent) -> None:
        if isinstance(event, events.SessionDisposed):
            done.set()

    session = DeviceSession(port)
    session.subscribe(bad)
    session.subscribe(good)
    with session:
        assert session.evaluate("1") == 1
    done.wait()
    assert "SystemExit cannot leave a thread of belay_py" in caplog.text


# ---- the end of the program, and children ----


def test_cleanups_run_at_the_end(manager: DeviceSessionManager) -> None:
    done: list[str] = []
    assert manager.state == "open"
    manager.add_cleanup("first", lambda: done.append("first"))
    manager.add_cleanup("second", lambda: done.append("second"))
    manager.add_cleanup("none", lambda: done.append("none"))()
    manager.create_session("sensor", "virtual:")
    manager.close()
    assert done == ["second", "first"]
    assert manager.state == "closed"


_SERVICE = """
import logging, sys, threading
from belay_py.sync import DeviceSessionManager

with DeviceSessionManager() as manager, manager.handle_signals(grace=30):
    manager.add_cleanup("supply", lambda: print("the supply is off", flush=True))
    manager.create_session("sensor", "virtual:")
    count = 0
    while True:
        with manager.lease("sensor") as board:
            count += 1
            assert board.evaluate(str(count)) == count
            if count == 3:
                print("ready", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_drains_the_manager_and_ends_the_program(number: int, status: int) -> None:
    service = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", _SERVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with service:
        try:
            assert service.stdout is not None
            assert service.stdout.readline() == "ready\n"
            service.send_signal(number)
            rest, errors = service.communicate(timeout=60)
        finally:
            service.kill()
    assert service.returncode == status
    assert rest == "the supply is off\n"
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert "SessionClosed" not in errors.splitlines()[-1:]


_FORGETFUL = """
from belay_py.sync import DeviceSessionManager

def use():
    manager = DeviceSessionManager()
    manager.subscribe(lambda event: None)
    session = manager.create_session("sensor", {port!r})
    lease = manager.lease("sensor")
    print(lease.acquire().evaluate("6 * 7"))

import logging, sys
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
use()
print("end")
"""


def test_a_manager_that_was_not_closed_is_closed_at_the_end_of_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _FORGETFUL.format(port="virtual:")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[:2] == ["42", "end"]
    assert "closing: session sensor: done" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("closed the manager of sensor")


def _in_a_child(manager: DeviceSessionManager, answers: multiprocessing.connection.Connection) -> None:
    for use in (lambda: manager.lease("sensor"), manager.ids, lambda: manager["sensor"]):
        try:
            use()
        except BelayError as error:
            answers.send(str(error))
        else:
            answers.send("it ran")
    manager.close()  # nothing to do
    with DeviceSessionManager() as own:
        answers.send(own.create_session("own", "virtual:").execute("print('own board')").output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_refused_the_parents_manager_and_may_make_its_own(
    port: str, manager: DeviceSessionManager
) -> None:
    made = manager.create_session("sensor", port)
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_in_a_child, args=(manager, theirs))
    child.start()
    for _ in range(3):
        assert "this manager belongs to the process that made it" in mine.recv()
    assert mine.recv() == "own board\n"
    child.join()
    assert made.execute("print('still here')").output == "still here\n"
