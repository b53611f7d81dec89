"""The blocking face on real MicroPython: the same answers, from any thread, and Ctrl-C."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import belay_py
from belay_py import BelayError, DeviceSessionState, ExecutionError, Interrupted, SessionTimeout
from belay_py.sync import DeviceSession


def test_the_same_names_as_the_asynchronous_session() -> None:
    session = belay_py.DeviceSession("virtual:")
    theirs = {name for name in [*dir(belay_py.DeviceSession), *vars(session)] if not name.startswith("_")}
    mine = {name for name, _ in inspect.getmembers(DeviceSession) if not name.startswith("_")}
    assert theirs - mine == {"settled"}
    assert mine <= theirs


def test_a_script(port: str) -> None:
    with DeviceSession(port, device_id="sensor") as session:
        assert session.state is DeviceSessionState.CONNECTED
        assert session.info.version == (1, 29, 0)
        assert session.execute("print('hi')").output == "hi\n"
        assert session.evaluate("[1, 2.5, b'x']") == [1, 2.5, b"x"]
        assert list(session.stream("print(1)\nprint(2)", mode="lines")) == ["1", "2"]
        assert b"".join(session.stream("print(1)", mode="bytes")) == b"1\r\n"
        with pytest.raises(ExecutionError, match="ValueError: bad"):
            session.execute("raise ValueError('bad')")
        with pytest.raises(SessionTimeout):
            session.execute("while True: pass", timeout=0.1)
        assert "soft reboot" in session.soft_reset().output
        assert (session.boot_epoch, session.generation, session.device_id) == (2, 1, "sensor")
        assert repr(session) == f"<sync DeviceSession 'sensor' on {port} IDLE>"
        session.disconnect()
        session.connect()
        assert session.generation == 2
        assert session.last_used >= session.created_at
        assert len(session.session_id) == 32
        assert session.options.port == port
        assert not session.interrupt()
    assert session.state is DeviceSessionState.DISPOSED


def test_leaving_a_stream_early_stops_the_board(port: str) -> None:
    with DeviceSession(port) as session:
        for _ in session.stream("while True: print('again')"):
            break
        assert session.execute("print('next')").output == "next\n"


def test_calls_from_many_threads_get_their_own_answers(port: str) -> None:
    with DeviceSession(port) as session, ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: session.execute(f"print({number})").output, range(200))
        assert list(answers) == [f"{number}\n" for number in range(200)]


def test_interrupt_from_another_thread(port: str) -> None:
    with DeviceSession(port) as session, ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.execute, "while True: pass")
        while session.state is not DeviceSessionState.ACTIVE:
            time.sleep(0)
        assert session.interrupt()
        with pytest.raises(Interrupted):
            running.result()


def test_ctrl_c_stops_the_board_and_raises_keyboard_interrupt(port: str) -> None:
    with DeviceSession(port) as session:
        for _ in range(10):

            def press_ctrl_c() -> None:
                while session.state is not DeviceSessionState.ACTIVE:
                    time.sleep(0)
                os.kill(os.getpid(), signal.SIGINT)

            presser = threading.Thread(target=press_ctrl_c)
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012  the thread must be there before
                presser.start()
                session.execute("while True: pass")
            presser.join()
            assert session.state is DeviceSessionState.IDLE
            assert session.execute("print('next')").output == "next\n"


def _in_a_child(session: DeviceSession, answers: multiprocessing.connection.Connection) -> None:
    try:
        session.execute("pass")
    except BelayError as error:
        answers.send(str(error))
    else:
        answers.send("it ran")
    with DeviceSession("virtual:") as own:
        answers.send(own.execute("print('own board')").output)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_refused_the_parents_session_and_may_make_its_own(port: str) -> None:
    with DeviceSession(port) as session:
        context = multiprocessing.get_context("fork")
        mine, theirs = context.Pipe()
        child = context.Process(target=_in_a_child, args=(session, theirs))
        child.start()
        assert "belongs to the process that made it" in mine.recv()
        assert mine.recv() == "own board\n"
        child.join()
        assert session.execute("print('still here')").output == "still here\n"


def test_a_call_from_the_loops_own_thread_is_refused(port: str) -> None:
    from belay_py.sync.loop_thread import loop_thread

    async def inside() -> None:
        with contextlib.closing(DeviceSession(port)) as session:
            session.connect()

    async def nothing() -> None:
        pass

    with pytest.raises(BelayError, match="called from its own loop"):
        loop_thread().run(inside(), settle=nothing)
