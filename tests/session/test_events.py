"""Events: what is told, in which order, and that listeners change nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref

import pytest

from belay_py import DeviceSession, DeviceSessionState, ExecutionError, SettingsError, events
from belay_py.lifecycle import MACHINE
from belay_py.session import listeners
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.virtual import VirtualBoard

State = DeviceSessionState


def names(told: list[events.SessionEvent]) -> list[str]:
    return [
        f"{event.old.name}>{event.new.name}" if isinstance(event, events.StateChanged) else type(event).__name__
        for event in told
    ]


async def test_a_sessions_life_is_told_in_order(port: str) -> None:
    session = DeviceSession(port)
    told: list[events.SessionEvent] = []
    session.subscribe(told.append)
    await session.connect()
    await session.execute("pass")
    await session.soft_reset()
    await session.close()
    assert names(told) == [
        "CREATED>CONNECTING",
        "CONNECTING>CONNECTED",
        "SessionConnected",
        "CONNECTED>ACTIVE",
        "ACTIVE>IDLE",
        "IDLE>ACTIVE",
        "BoardReset",
        "ACTIVE>IDLE",
        "IDLE>DISCONNECTING",
        "DISCONNECTING>DISCONNECTED",
        "SessionDisconnected",
        "DISCONNECTED>DISPOSED",
        "SessionDisposed",
    ]
    assert all(event.session is session for event in told)
    assert [event.at for event in told] == sorted(event.at for event in told)
    connected, reset = told[2], told[6]
    assert isinstance(connected, events.SessionConnected)
    assert (connected.generation, connected.boot_epoch) == (1, 1)
    assert isinstance(reset, events.BoardReset)
    assert reset.boot_epoch == 2
    assert "soft reboot" in reset.output
    assert reset.requested
    assert reset.lost == ("variables", "imports", "open files")


async def test_losses_errors_and_resets_are_told() -> None:
    async with VirtualBoard() as board, DeviceSession(board.port, recovery_timeout=0.3) as session:
        told: list[events.SessionEvent] = []
        session.subscribe(told.append)
        await board.unplug()
        await session.wait_for_state(State.DISCONNECTED)
        lost = told[-1]
        assert isinstance(lost, events.SessionDisconnected)
        assert lost.reason == "unexpected"
        assert lost.error is not None
        await board.replug()
        await board.reset()
        await session.connect()
        assert names(told)[-3:] == ["CONNECTING>CONNECTED", "BoardReset", "SessionConnected"]
        reset = told[-2]
        assert isinstance(reset, events.BoardReset)
        assert not reset.requested
        told.clear()
        with pytest.raises(TimeoutError):
            await session.execute("import micropython\nmicropython.kbd_intr(-1)\nwhile True: pass", timeout=0.1)
        assert names(told) == ["CONNECTED>ACTIVE", "ACTIVE>ERROR", "SessionError"]
        error = told[-1]
        assert isinstance(error, events.SessionError)
        assert "catches Ctrl-C" in error.trouble


async def test_an_asynchronous_listener_may_execute_on_the_session(port: str) -> None:
    session = DeviceSession(port)
    done = asyncio.Event()

    async def set_up(event: events.SessionEvent) -> None:
        if isinstance(event, events.SessionConnected):
            await event.session.execute("was_set_up = True")
            done.set()

    session.subscribe(set_up)
    async with session:
        await done.wait()
        assert await session.evaluate("was_set_up") is True


async def test_a_listener_that_raises_is_logged_and_changes_nothing(
    port: str, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(_: events.SessionEvent) -> None:
        raise RuntimeError("a plain listener")

    async def worse(_: events.SessionEvent) -> None:
        raise RuntimeError("an asynchronous listener")

    told: list[events.SessionEvent] = []
    session = DeviceSession(port)
    for listener in (bad, worse, told.append):
        session.subscribe(listener)
    with caplog.at_level(logging.ERROR, "belay_py"):
        async with session:
            assert (await session.execute("print(1)")).output == "1\n"
    assert len(told) == 10
    text = caplog.text
    assert "RuntimeError: a plain listener" in text
    assert "RuntimeError: an asynchronous listener" in text


async def test_who_unsubscribes_hears_no_more(port: str) -> None:
    told: list[events.SessionEvent] = []
    other: list[events.SessionEvent] = []
    async with DeviceSession(port) as session:
        end = session.subscribe(told.append)
        session.subscribe(other.append)
        await session.execute("pass")
        end()
        end()
        await session.execute("pass")
        assert (len(told), len(other)) == (2, 4)


async def test_a_slow_asynchronous_listener_misses_events_and_is_told_so(
    port: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "QUEUE_LIMIT", 3)
    told: list[events.SessionEvent] = []
    gate = asyncio.Event()
    caught_up = asyncio.Event()

    async def slow(event: events.SessionEvent) -> None:
        await gate.wait()
        told.append(event)
        if len(told) == 3:
            caught_up.set()

    async with DeviceSession(port) as session:
        session.subscribe(slow)
        with caplog.at_level(logging.WARNING, "belay_py"):
            for _ in range(5):
                await session.execute("pass")
            [warning] = caplog.messages[:1]
            assert "slow at 0x" in warning
            assert "is too slow: 3 events wait for it, and it misses those that come now" in warning
            assert len(caplog.messages) == 3  # of 7 events that it missed, the first, the fourth and the seventh
            gate.set()
            await caught_up.wait()
            while len(caplog.messages) == 3:  # no further event comes
                await asyncio.sleep(0)
        assert len(told) == 3
        assert "was too slow and missed 7 events" in caplog.messages[-1]
        assert caplog.records[-1].__dict__["session"] == session.session_id
        await session.execute("pass")
        while len(told) < 5:
            await asyncio.sleep(0)
        assert len(caplog.messages) == 4


async def test_a_slow_asynchronous_listener_never_holds_up_the_session(port: str) -> None:
    never = asyncio.Event()
    told: list[events.SessionEvent] = []

    async def slow(event: events.SessionEvent) -> None:
        told.append(event)
        await never.wait()

    async with DeviceSession(port) as session:
        session.subscribe(slow)
        for number in range(50):
            assert (await session.execute(f"print({number})")).output == f"{number}\n"
        assert len(told) == 1  # it is in the first of a hundred
        never.set()
        while len(told) < 100:
            await asyncio.sleep(0)


async def test_a_decorated_listener_hears_of_what_it_names(
    port: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "QUEUE_LIMIT", 1)  # what it does not want does not make it lag
    session = DeviceSession(port)
    heard: list[str] = []
    done = asyncio.Event()

    @session.on(events.SessionConnected, events.SessionDisposed)
    def plain(event: events.SessionEvent) -> None:
        heard.append(type(event).__name__)

    @session.on(events.SessionConnected)
    async def set_up(event: events.SessionConnected) -> None:
        heard.append((await event.session.execute("print('set up')")).output)
        done.set()

    everything: list[events.SessionEvent] = []
    session.on()(everything.append)
    async with session:
        await done.wait()
    assert heard == ["SessionConnected", "set up\n", "SessionDisposed"]
    assert len(everything) == 10
    assert plain.__name__ == "plain"  # it is still the function
    assert not caplog.messages


def test_a_decorator_without_its_events_says_how_it_is_written() -> None:
    for session in (DeviceSession("virtual:"), BlockingSession("virtual:")):
        with pytest.raises(SettingsError, match="write @session.on"):

            @session.on  # type: ignore[arg-type]  # that is the test
            def _(event: events.SessionEvent) -> None: ...

        with pytest.raises(SettingsError, match="the listener is 5"):
            session.on(events.SessionConnected)(5)  # type: ignore[type-var]  # as above


def test_a_dropped_session_with_a_listener_of_its_own_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.session = DeviceSession("virtual:")
            self.session.subscribe(self.on_event)

        def on_event(self, event: events.SessionEvent) -> None: ...

    owner = weakref.ref(Owner())
    gc.collect()
    assert owner() is None
    assert not [model for model in MACHINE.models if model.state is State.CREATED]


def test_a_listener_of_the_blocking_face_may_use_its_session(port: str) -> None:
    session = BlockingSession(port)
    done = threading.Event()
    found: list[object] = []

    def listener(event: events.SessionEvent) -> None:
        if isinstance(event, events.SessionConnected):
            assert event.session is session
            found.append(event.session.evaluate("1 + 1"))
            done.set()

    end = session.subscribe(listener)
    with session:
        assert done.wait(30)
        end()
        with pytest.raises(ExecutionError):
            session.execute("1/0")
    assert found == [2]


def cancel_me() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    future.result()


async def test_a_listener_that_lets_a_cancellation_out_changes_nothing(
    port: str, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[events.SessionEvent] = []
    all_told = asyncio.Event()

    def plain(_: events.SessionEvent) -> None:
        cancel_me()

    async def asynchronous(event: events.SessionEvent) -> None:
        told.append(event)
        if isinstance(event, events.SessionDisposed):
            all_told.set()
        cancel_me()

    session = DeviceSession(port)
    session.subscribe(plain)
    session.subscribe(asynchronous)
    async with session:
        assert (await session.execute("print(1)", timeout=5)).output == "1\n"
        assert (await session.execute("print(2)", timeout=5)).output == "2\n"
    assert session.state is State.DISPOSED
    await all_told.wait()
    assert len(told) == 12
    assert caplog.text.count("CancelledError") >= 24


def test_what_cannot_be_called_is_no_listener() -> None:
    for session in (DeviceSession("virtual:"), BlockingSession("virtual:")):
        with pytest.raises(SettingsError, match="the listener is 5; it must be a function"):
            session.subscribe(5)  # type: ignore[arg-type]  # that is the test
