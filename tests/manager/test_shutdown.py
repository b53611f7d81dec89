"""The end of a manager: its order, its grace, its force, and steps that fail or hang. On a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import BelayError, DeviceSessionManager, DeviceSessionState, SessionClosed, SettingsError
from belay_py.events import SessionDisconnected, SessionEvent
from belay_py.testing import Forever, ScriptedBoard, SwallowInterrupts, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.testing import Answer

ON_A_VIRTUAL_CLOCK = True

State = DeviceSessionState


def on_code(code: str) -> Answer:
    if code.startswith("loop"):
        return Forever()
    if code.startswith("hang"):
        return SwallowInterrupts(1_000_000), Forever()
    return "done"


def make_board() -> ScriptedBoard:
    return ScriptedBoard(on_code=on_code)


def closing_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("belay_py.manager")]


@pytest.fixture(autouse=True)
def log_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "belay_py")


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_it_goes_from_open_to_draining_to_closed_and_never_back() -> None:
    board = make_board()
    manager = DeviceSessionManager()
    assert manager.state == "open"
    await manager.create_session("a", board.port)
    async with manager.lease("a"):
        closing = asyncio.create_task(manager.close(grace=5))
        await asyncio.sleep(1)
        assert manager.state == "draining"
    await closing
    assert manager.state == "closed"
    assert not board.connected
    for again in range(3):
        await manager.close(grace=again)
        assert manager.state == "closed"
    with pytest.raises(SessionClosed, match="make a new one"):
        async with manager.lease("a"):
            pass
    assert manager.state == "closed"


async def test_a_manager_that_was_never_used_closes_too(caplog: pytest.LogCaptureFixture) -> None:
    manager = DeviceSessionManager()
    done: list[str] = []

    async def note() -> None:
        done.append("cleanup")

    manager.add_cleanup("note", note)
    await manager.close()
    assert (manager.state, done) == ("closed", ["cleanup"])
    assert "closed the manager (no devices)" in closing_lines(caplog)[-1]


async def test_who_waits_fails_at_once_and_who_holds_gets_the_grace() -> None:
    board = make_board()
    manager = DeviceSessionManager()
    await manager.create_session("a", board.port)
    lease = manager.lease("a")
    session = await lease.acquire()
    waiter = asyncio.create_task(manager.lease("a").acquire())
    await asyncio.sleep(0)
    began = now()
    closing = asyncio.create_task(manager.close(grace=7))
    with pytest.raises(SessionClosed, match="closing"):
        await waiter
    assert now() == began
    await asyncio.sleep(6)
    assert (await session.execute("still mine")).output == "done"
    await closing
    assert 7 <= now() - began < 8
    with pytest.raises(SessionClosed, match="lease"):
        await session.execute("not mine any more")


async def test_a_second_close_with_less_grace_shortens_it() -> None:
    board = make_board()
    manager = DeviceSessionManager()
    await manager.create_session("a", board.port)
    async with manager.lease("a"):
        began = now()
        first = asyncio.create_task(manager.close(grace=1000))
        await asyncio.sleep(1)
        longer = asyncio.create_task(manager.close(grace=5000))
        await asyncio.sleep(1)
        await manager.close(grace=3)
        assert 5 <= now() - began < 6
    await first
    await longer


@pytest.mark.parametrize("grace", [-1, "5", float("nan"), None])
async def test_a_grace_that_is_no_time_is_refused(grace: Any) -> None:
    async with DeviceSessionManager() as manager:
        if grace is None:
            return  # the default of the settings
        with pytest.raises(SettingsError, match="grace is"):
            await manager.close(grace=grace)
        with pytest.raises(SettingsError, match="grace is"):
            manager.handle_signals(grace=grace)
        board = make_board()
        await manager.create_session("a", board.port)
        with pytest.raises(SettingsError, match="grace is"):
            await manager.remove("a", grace=grace)
        async with manager.lease("a", timeout=0):
            pass  # nothing has begun
        assert await manager.remove("a", grace=10**400)
        assert manager.state == "open"


async def test_endless_grace_waits_for_the_lease() -> None:
    board = make_board()
    manager = DeviceSessionManager()
    await manager.create_session("a", board.port)
    lease = manager.lease("a")
    await lease.acquire()
    asyncio.get_running_loop().call_later(100_000, lease.release)
    await manager.close(grace=float("inf"))
    assert now() >= 100_000


async def test_what_runs_is_stopped_and_the_board_left_at_its_friendly_prompt() -> None:
    board = make_board()
    manager = DeviceSessionManager()
    session = await manager.create_session("a", board.port)
    running = asyncio.create_task(session.execute("loop", timeout=1000))
    await asyncio.sleep(1)
    await manager.close(grace=2)
    with pytest.raises(BelayError, match="stopped by interrupt"):
        await running
    assert board.received.endswith(b"\x02")
    assert not board.connected


async def test_what_runs_is_left_alone_when_that_is_wanted() -> None:
    board, idle = make_board(), make_board()
    manager = DeviceSessionManager(on_close="leave")
    await manager.create_session("a", board.port)
    await manager.create_session("idle", idle.port)
    async with manager.lease("a") as session:
        running = asyncio.create_task(session.execute("loop", timeout=1000))
        await asyncio.sleep(1)
        sent = board.received
        await manager.close(grace=2)
        with pytest.raises(BelayError, match="nobody can tell"):
            await running
    assert board.received == sent
    assert idle.received.endswith(b"\x02")
    assert not board.connected
    assert not idle.connected


async def test_a_board_that_does_not_stop_is_closed_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    stubborn, good = make_board(), make_board()
    manager = DeviceSessionManager(defaults={"recovery_timeout": 3})
    session = await manager.create_session("stubborn", stubborn.port)
    await manager.create_session("good", good.port)
    running = asyncio.create_task(session.execute("hang", timeout=1000))
    await asyncio.sleep(1)
    began = now()
    await manager.close(grace=1)
    assert 4 <= now() - began < 10
    with pytest.raises(BelayError):
        await running
    assert not stubborn.connected
    assert not good.connected
    lines = "\n".join(closing_lines(caplog))
    assert "stubborn: still in use after 1 s" in lines
    assert "what runs on it could not be stopped" in lines
    assert "session good: done" in lines


async def test_each_step_is_logged_with_its_duration(caplog: pytest.LogCaptureFixture) -> None:
    manager = DeviceSessionManager()
    await manager.create_session("a", make_board().port)

    async def switch_off() -> None:
        await asyncio.sleep(0.25)

    manager.add_cleanup("power", switch_off)
    caplog.clear()
    await manager.close()
    lines = closing_lines(caplog)
    assert lines[0] == "closing the manager of a: 1 sessions, 0 leases"
    assert lines[1].startswith("closing: session a: done in ")
    assert lines[2] == "closing: cleanup 'power': done in 0.250 s"
    assert lines[3].startswith("closed the manager of a in ")
    assert {record.levelname for record in caplog.records if "clos" in record.getMessage()} == {"INFO"}


# ---- cleanups ----


def call(function: Callable[[], Any]) -> Any:
    return function()


async def test_cleanups_run_after_the_sessions_last_added_first() -> None:
    board = make_board()
    done: list[str] = []
    manager = DeviceSessionManager()
    await manager.create_session("a", board.port)

    async def first() -> None:
        assert not board.connected
        done.append("first")

    def second() -> None:
        assert threading.current_thread() is not threading.main_thread()
        done.append("second")

    class Third:
        async def __call__(self) -> None:
            done.append("third")

    manager.add_cleanup("first", first)
    manager.add_cleanup("second", second)
    manager.add_cleanup("third", Third())
    manager.add_cleanup("a plain one that returns something to await", functools.partial(call, first))
    take_out = manager.add_cleanup("none", lambda: done.append("none"))
    take_out()
    take_out()
    await manager.close()
    assert done == ["first", "third", "second", "first"]


async def test_a_cleanup_that_fails_or_hangs_does_not_stop_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    manager = DeviceSessionManager()
    done: list[str] = []

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def holds_on() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
                return

    async def fails() -> None:
        raise RuntimeError("no power switch")

    def fails_plainly() -> None:
        raise SystemExit(3)

    async def fine() -> None:
        done.append("fine")

    manager.add_cleanup("fine", fine)
    manager.add_cleanup("fails", fails)
    manager.add_cleanup("exits", fails_plainly)
    manager.add_cleanup("hangs", hangs, timeout=2)
    manager.add_cleanup("holds on", holds_on, timeout=3)
    began = now()
    await manager.close()
    assert done == ["fine"]
    assert 5 <= now() - began < 6
    lines = closing_lines(caplog)
    assert "closing: cleanup 'holds on': not done after 3 s, and left undone" in lines
    assert "closing: cleanup 'hangs': not done after 2 s, and left undone" in lines
    assert "closing: cleanup 'exits': failed" in lines
    assert "closing: cleanup 'fails': failed" in lines
    assert "no power switch" in caplog.text
    assert manager.state == "closed"


async def test_a_cleanup_may_close_the_manager_again() -> None:
    manager = DeviceSessionManager()
    manager.add_cleanup("once more", manager.close, timeout=1)
    await manager.close()
    assert manager.state == "closed"


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("name", "callback", "timeout"),
    [("", nothing, 1), (1, nothing, 1), ("x", None, 1), ("x", nothing, 0), ("x", nothing, "1")],
)
async def test_a_cleanup_that_cannot_be_one_is_refused(name: Any, callback: Any, timeout: Any) -> None:
    async with DeviceSessionManager() as manager:
        with pytest.raises(SettingsError, match=r"cleanup|timeout"):
            manager.add_cleanup(name, callback, timeout=timeout)


# ---- cancelled, at every turn ----


class CuttingClock(VirtualClock):
    """A virtual clock that does something at one of its turns."""

    cut: Callable[[], object] | None = None
    turns_left = 0

    def _run_once(self) -> None:
        if self.cut is not None:
            self.turns_left -= 1
            if self.turns_left < 0:
                cut, self.cut = self.cut, None
                cut()
        super()._run_once()  # type: ignore[misc]  # asyncio's own, and the only place where a turn can be counted


class Scene:
    """A manager with a board whose code runs, a stubborn one, an idle one and a cleanup, on its way to its end."""

    def __init__(self) -> None:
        self.boards = [make_board() for _ in range(3)]
        self.cleaned = 0
        self.events: list[SessionEvent] = []

    async def begin(self) -> DeviceSessionManager:
        self.manager = manager = DeviceSessionManager(defaults={"recovery_timeout": 1})
        manager.subscribe(self.events.append)
        sessions = [await manager.create_session(f"b{number}", board.port) for number, board in enumerate(self.boards)]

        async def clean() -> None:
            self.cleaned += 1
            await asyncio.sleep(0)

        manager.add_cleanup("clean", clean)
        self.users = [
            asyncio.create_task(sessions[0].execute("loop", timeout=1000)),
            asyncio.create_task(self.lessee("b1")),
        ]
        await asyncio.sleep(0.1)
        return manager

    async def lessee(self, key: str) -> None:
        async with self.manager.lease(key) as session:
            await session.execute("hang", timeout=1000)

    def check(self) -> None:
        assert self.manager.state == "closed"
        assert [board.connected for board in self.boards] == [False] * 3
        assert self.cleaned == 1
        assert [event.reason for event in self.events if isinstance(event, SessionDisconnected)] == ["shutdown"] * 3
        assert self.manager._pool.plan.slots == 0
        assert self.manager._pool.plan.granted == self.manager._pool.plan.released


async def close_cancelled_at(turn: int) -> bool:
    """Return whether closing was over before that turn."""
    clock = asyncio.get_running_loop()
    assert isinstance(clock, CuttingClock)
    scene = Scene()
    manager = await scene.begin()
    closing = asyncio.create_task(manager.close(grace=0.5))
    clock.cut, clock.turns_left = closing.cancel, turn
    with contextlib.suppress(asyncio.CancelledError):
        await closing
    was_over = clock.cut is not None or not closing.cancelled()
    clock.cut = None
    await manager.close()
    await asyncio.wait(scene.users)
    for user in scene.users:
        assert isinstance(user.exception(), BelayError)
    if turn:
        scene.check()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return was_over


def test_a_close_that_is_cancelled_at_any_turn_ends_closed() -> None:
    for turn in itertools.count():
        with asyncio.Runner(loop_factory=CuttingClock) as runner:
            if runner.run(close_cancelled_at(turn)):
                break
    assert turn > 10


class Interrupted(BaseException):
    """What breaks a loop off, as KeyboardInterrupt does."""


@pytest.mark.parametrize("begun", [False, True])
def test_a_loop_that_is_shut_down_at_any_turn_closes_its_manager(begun: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The runner is broken off and cancels everything there is, as after a second Ctrl-C."""
    for turn in itertools.count():
        scene = Scene()
        over: list[bool] = []

        async def main(scene: Scene = scene, turn: int = turn, over: list[bool] = over) -> None:
            manager = await scene.begin()
            clock = asyncio.get_running_loop()
            assert isinstance(clock, CuttingClock)

            def break_off() -> None:
                raise Interrupted

            clock.turns_left = turn
            clock.cut = break_off
            if begun:
                await manager.close(grace=0.5)
            else:
                await asyncio.sleep(0.01 * turn)
            over.append(True)
            clock.cut = None

        with contextlib.suppress(Interrupted), asyncio.Runner(loop_factory=CuttingClock) as runner:
            runner.run(main())
        scene.check()
        for user in scene.users:
            assert user.done()
            user.cancelled() or user.exception()
        if over or (not begun and turn > 3):
            break
    assert ("its event loop ends: it is closed now" in caplog.text) or begun


def test_a_program_that_forgets_to_close_has_its_boards_in_order(caplog: pytest.LogCaptureFixture) -> None:
    board = make_board()

    async def main() -> DeviceSessionManager:
        manager = DeviceSessionManager()
        await manager.create_session("a", board.port)
        return manager

    assert VirtualClock.run(main()).state == "closed"
    assert not board.connected
    assert board.received.endswith(b"\x02")
    assert "the manager of a was not closed, and its event loop ends" in caplog.text


async def test_a_manager_that_nobody_refers_to_says_so(caplog: pytest.LogCaptureFixture) -> None:
    board = make_board()
    manager = DeviceSessionManager()
    await manager.create_session("a", board.port)
    del manager
    gc.collect()
    assert "the manager of a was dropped without being closed" in caplog.text


async def test_a_manager_that_was_closed_says_nothing_when_it_is_collected(caplog: pytest.LogCaptureFixture) -> None:
    manager = DeviceSessionManager()
    await manager.create_session("a", make_board().port)
    await manager.close()
    caplog.clear()
    del manager
    gc.collect()
    assert not closing_lines(caplog)
