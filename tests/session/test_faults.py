"""What no board does on demand, against a scripted one: links lost at the wrong moment, races, nonsense.

They run on a virtual clock, see conftest.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from contextlib import aclosing
from typing import Any

import pytest

from belay_py import (
    BelayError,
    CommunicationOptions,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    Disconnected,
    IllegalTransition,
    Interrupted,
    OutcomeUnknown,
    ProtocolViolation,
    SessionClosed,
    SessionTimeout,
    SettingsError,
)
from belay_py.session import encoder
from belay_py.testing import (
    Answer,
    Forever,
    Instead,
    Lose,
    Pause,
    Raise,
    ScriptedBoard,
    SwallowInterrupts,
)

State = DeviceSessionState


@pytest.fixture
def scripted() -> ScriptedBoard:
    """A board that answers ``done`` and, to ``loop``, runs until it is interrupted."""
    return ScriptedBoard(on_code=lambda code: Forever() if code.startswith("loop") else "done")


def session_with(board: ScriptedBoard, **options: Any) -> DeviceSession:
    """A session that gives up soon."""
    return DeviceSession(board.port, **{"recovery_timeout": 0.5, **options})


async def ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def active(session: DeviceSession) -> None:
    while session.state is not State.ACTIVE:
        await asyncio.sleep(0)


async def test_a_waiter_cancelled_in_the_tick_of_a_release_is_cancelled(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    first = asyncio.create_task(session.execute("loop"))
    await active(session)
    second = asyncio.create_task(session.execute("x"))
    await ticks(2)
    scripted.lose()
    await ticks(2)
    second.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], OutcomeUnknown)
    assert isinstance(results[1], asyncio.CancelledError | Disconnected)


async def test_an_operation_that_meets_a_disconnect_is_refused_and_gives_the_turn_back(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    ending = asyncio.create_task(session.disconnect())
    await ticks(1)
    with pytest.raises(SessionClosed, match="DISCONNECTING"):
        await session.execute("x")
    await ending
    await session.connect()
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_connecting_while_disconnecting_waits_and_connects(scripted: ScriptedBoard) -> None:
    for tick in range(4):
        session = session_with(scripted)
        await session.connect()
        ending = asyncio.create_task(session.disconnect())
        await ticks(tick)
        await session.connect()
        await ending
        if session.state is State.DISCONNECTED:  # it was connected still when connect looked
            await session.connect()
        assert (await session.execute("x")).output == "done"
        await session.close()


async def test_a_link_lost_right_after_the_handshake_is_a_failed_connect(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    scripted.about = ("{'n': 'micropython', 'v': (1, 25, 0)}\n\x04\x04>", Lose())
    with pytest.raises(ConnectionFailed, match="lost"):
        await session.connect()
    assert session.state is State.ERROR
    scripted.about = None
    await session.connect()
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_an_interrupt_stops_one_execution_and_not_the_next_in_the_queue(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    first = asyncio.create_task(session.execute("loop"))
    await active(session)
    second = asyncio.create_task(session.execute("loop again", timeout=0.3))
    assert await session.interrupt()
    with pytest.raises(Interrupted):
        await first
    with pytest.raises(SessionTimeout):
        await second
    await session.close()


async def test_two_interrupts_at_once_and_one_that_gives_up_are_all_interrupts(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    scripted.on_code = lambda _: (SwallowInterrupts(5), Forever())
    running = asyncio.create_task(session.execute("stubborn"))
    await active(session)
    with pytest.raises(SessionTimeout, match="catches Ctrl-C"):
        await session.interrupt(timeout=0.05)
    both = asyncio.gather(session.interrupt(), session.interrupt())
    with pytest.raises(Interrupted):
        await running
    assert await both == [True, True]
    await session.close()


async def test_an_interrupt_during_the_recovery_of_a_hard_reset_keeps_its_deadline(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    loop = asyncio.get_running_loop()
    scripted.silent = True
    resetting = asyncio.create_task(session.hard_reset(timeout=3600))
    await asyncio.sleep(60)
    began = loop.time()
    with pytest.raises(SessionTimeout, match="being stopped"):
        await session.interrupt(timeout=5)
    assert loop.time() == began + 5
    scripted.restart()
    await resetting
    await session.close()


async def test_an_interrupt_in_the_middle_of_paced_code_ends_it_unrun(scripted: ScriptedBoard) -> None:
    scripted.raw_paste = "refused"
    session = session_with(scripted, communication=CommunicationOptions(pace=0.05))
    await session.connect()
    running = asyncio.create_task(session.execute("x = 1\n" * 1000))
    await active(session)
    assert await session.interrupt()
    with pytest.raises(Interrupted, match="none of it ran"):
        await running
    # Only the question whether there is room for it ran.
    assert not any("x = 1" in execution.code for execution in scripted.executions)
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_a_stream_left_while_the_link_was_paused_does_not_starve_the_next(
    scripted: ScriptedBoard,
) -> None:
    session = session_with(scripted)
    await session.connect()

    scripted.on_code = lambda code: (b"x" * 60_000, Pause(0), b"x" * 60_000) if code == "big" else "done"
    async with aclosing(session.stream("big", mode="bytes")) as stream:
        await anext(stream)
        await ticks(5)
    assert (await session.execute("x", timeout=1)).output == "done"
    await session.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Lose("cable pulled"), Disconnected), (Forever(), SessionTimeout)],
)
@pytest.mark.parametrize("code", ["f()", "if True: f()\n1", "x = 1\nx"])
async def test_a_value_whose_encoder_did_not_arrive_was_not_begun(
    scripted: ScriptedBoard, code: str, fault: Answer, error: type[BelayError]
) -> None:
    session = session_with(scripted)
    await session.connect()
    missing = Raise("NameError", f"name '{encoder.NAME}' isn't defined")
    answers: dict[bytes, Answer] = {encoder.INSTALL[0]: None, encoder.INSTALL[1]: fault}
    scripted.on_code = lambda sent: answers.get(sent.encode(), missing)
    with pytest.raises(error) as caught:
        await session.evaluate(code, timeout=1)
    assert getattr(caught.value, "outcome", None) == "not_started"
    await session.close()


@pytest.mark.parametrize(("lost", "error"), [(True, Disconnected), (False, SessionTimeout)])
async def test_code_that_waited_for_the_question_whether_it_fits_was_not_begun(
    scripted: ScriptedBoard, lost: bool, error: type[BelayError]
) -> None:
    scripted.raw_paste = "refused"
    session = session_with(scripted)
    await session.connect()
    scripted.silent = True
    running = asyncio.create_task(session.execute("x = 1\n" * 1000, timeout=1))
    await active(session)
    if lost:
        scripted.lose()
    with pytest.raises(error) as caught:
        await running
    assert getattr(caught.value, "outcome", None) == "not_started"
    await session.close()


async def test_a_soft_reset_that_loses_the_link_has_an_unknown_outcome(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    scripted.silent = True
    resetting = asyncio.create_task(session.soft_reset())
    await active(session)
    scripted.lose()
    with pytest.raises(OutcomeUnknown):
        await resetting
    await session.close()


async def test_code_that_met_a_friendly_prompt_is_known_not_to_have_run(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    scripted.leave_raw()
    with pytest.raises(ProtocolViolation, match="friendly prompt") as caught:
        await session.execute("x")
    assert caught.value.outcome == "not_started"
    assert scripted.executions == []
    assert session.statistics.link_errors == 1
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_a_hang_after_a_restart_that_nobody_saw_is_no_exception_of_the_program(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    scripted._housekeeping.life = None  # it restarted, and the noise that this made was lost
    running = asyncio.create_task(session.execute("x"))
    await ticks(2)
    scripted.silent = True
    with pytest.raises(OutcomeUnknown, match="had restarted; then the board did not return"):
        await running
    assert session.state is State.ERROR
    await session.close()


@pytest.mark.parametrize("answer", ["[1]", "-" * 4000 + "1", "nonsense", "", "{'n': 1}"])
async def test_nonsense_about_itself_is_a_failed_connect(scripted: ScriptedBoard, answer: str) -> None:
    scripted.about = answer + "\n"
    with pytest.raises(ConnectionFailed, match="could not be read"):
        await session_with(scripted).connect()


async def test_random_noise_never_hangs_and_raises_nothing_foreign() -> None:
    import random

    chance = random.Random(7)
    for _ in range(300):
        board = ScriptedBoard(marks=chance.random() < 0.5)
        session = session_with(board, recovery_timeout=chance.choice([0.05, 5]))
        await session.connect()
        board.on_code = lambda _: Instead(
            bytes(chance.choices(b"R\x01\x80\x00\x04>OK\r\nraw REPL; x", k=chance.randrange(80)))
        )
        for _ in range(3):
            with contextlib.suppress(BelayError):
                await session.execute("x", timeout=0.01)
        await session.close()
        assert not board.connected


@pytest.mark.parametrize("timeout", ["5", None, -1, float("nan"), 10**400])
async def test_odd_timeouts(scripted: ScriptedBoard, timeout: object) -> None:
    session = session_with(scripted)
    await session.connect()
    if timeout is None or timeout == 10**400:
        await session.execute("x", timeout=timeout)
    else:
        with pytest.raises(SettingsError, match="timeout is"):
            await session.execute("x", timeout=timeout)  # type: ignore[arg-type]  # that is the test
    await session.close()


async def test_a_disposed_session_says_so_to_connect(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.close()
    with pytest.raises(IllegalTransition, match="DISPOSED"):
        await session.connect()


def test_a_session_of_an_ended_loop_is_refused_and_gives_its_port_back(port: str) -> None:
    def outlive_a_loop() -> None:
        session = DeviceSession(port)
        asyncio.run(session.connect())

        async def afterwards() -> None:
            with pytest.raises(SessionClosed, match="another event loop"):
                await session.execute("pass")
            await session.close()
            async with DeviceSession(port) as another:
                assert (await another.execute("print(1)")).output == "1\n"

        asyncio.run(afterwards())
        assert session.state is State.DISPOSED

    outlive_a_loop()
    gc.collect()  # whatever complains in its destructor does so in this test


@pytest.mark.parametrize(
    "ending",
    [
        "pieces = session.stream('while True: print(1)')\nnext(pieces)",
        "import atexit\natexit.register(session.close)",
        "class Holder:\n    def __del__(self, session=session): session.close()\nholder = Holder()",
        "import sys\nsys.exit()",
        "",
    ],
)
def test_a_script_that_never_closes_its_session_ends(ending: str) -> None:
    code = (
        f"from belay_py.sync import DeviceSession\nsession = DeviceSession('virtual:')\nsession.connect()\n{ending}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_messages_of_connecting_name_the_seconds_that_the_caller_gave(scripted: ScriptedBoard) -> None:
    session = session_with(scripted)
    await session.connect()
    scripted.silent = True
    with pytest.raises(ConnectionFailed, match=r"no answer on .* within 0\.5 s\."):
        await session.reconnect(timeout=0.5)
    with pytest.raises(ConnectionFailed, match=r"no answer on .* within 30 s\."):
        await session.connect()
    scripted.silent = False
    scripted.about = Forever()
    with pytest.raises(ConnectionFailed, match=r"did not say what it is within 0\.5 s; allow it more time"):
        await session.reconnect(timeout=0.5)
    await session.close()
