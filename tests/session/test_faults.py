"""What no board does on demand, against a scripted one: links lost at the wrong moment, races, nonsense.

The scripted board answers handshakes, the questions about itself, and every other code with ``done``; it exists for
faults only.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

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
from belay_py.transports.memory import memory_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

State = DeviceSessionState
ABOUT = b"{'n': 'micropython', 'v': (1, 25, 0)}\r\n\x04\x04>"
KEYBOARD_INTERRUPT = b"\x04Traceback (most recent call last):\r\nKeyboardInterrupt: \r\n\x04>"
WINDOW = 128


class Script:
    """A board by script. ``on_code(code)`` returns the response to code, or None for ``done``."""

    def __init__(self, *, raw_paste: bool = True) -> None:
        _, self.board = memory_pair()
        self.board.on_data = self._on_data
        self.raw_paste = raw_paste
        self.on_code: Callable[[bytes], bytes | None] = lambda _: None
        self.about = ABOUT
        self.lost_after_about = False
        self.at_friendly_prompt = False
        self.silent = False
        self.running = False
        self.codes: list[bytes] = []
        self._line = b""
        self._pasting = False

    @property
    def port(self) -> str:
        return self.board.port

    def session(self, **options: Any) -> DeviceSession:
        session = DeviceSession(self.port, **{"recovery_timeout": 0.5, **options})
        session.script = self  # type: ignore[attr-defined]  # the board lives as long as somebody refers to it
        return session

    def _on_data(self, data: bytes) -> None:
        if self.silent:
            return
        if self.at_friendly_prompt and data.startswith(b"\x05"):
            self.board.feed(b"\r\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== A\x01x\r\n>>> ")
            self.at_friendly_prompt = False
            return
        for byte in data:
            self._on_byte(bytes([byte]))

    def _on_byte(self, byte: bytes) -> None:
        if self.running:
            if byte == b"\x03":
                self.running = False
                self.board.feed(KEYBOARD_INTERRUPT)
        elif byte == b"\x03":
            self.board.feed(b"\x04\x04KeyboardInterrupt: \r\n\x04>" if self._pasting else b"")
            self._line, self._pasting = b"", False
        elif byte == b"\x04":
            line, self._line = self._line, b""
            self.board.feed(b"\x04" if self._pasting else b"OK")
            self._pasting = False
            self._run(line)
        elif byte == b"\x01":
            if self._line == b"\x05A":
                self._pasting = self.raw_paste
                self.board.feed(b"R\x01\x80\x00\x01" if self.raw_paste else b"R\x00>")
            else:
                self.board.feed(b"raw REPL; CTRL-B to exit\r\n>")
            self._line = b""
        else:
            self._line += byte
            if self._pasting and len(self._line) % WINDOW == 0:
                self.board.feed(b"\x01")

    def _run(self, code: bytes) -> None:
        if greeting := re.match(rb"print\('(\w+)'\+'(\w+)'\)", code):
            self.board.feed(greeting[1] + greeting[2] + b"\r\n\x04\x04>")
        elif b"_belay_info" in code:
            self.board.feed(self.about)
            if self.lost_after_about:
                self.board.lose()
        elif code.startswith(b"loop"):
            self.running = True
        else:
            self.codes.append(code)
            response = self.on_code(code)
            self.board.feed(b"done\x04\x04>" if response is None else response)


async def ticks(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def active(session: DeviceSession) -> None:
    while session.state is not State.ACTIVE:
        await asyncio.sleep(0)


async def consume(session: DeviceSession) -> None:
    async with aclosing(session.stream("loop", mode="bytes")) as stream:
        async for _ in stream:
            break


OPERATIONS: dict[str, Callable[[DeviceSession], Coroutine[object, object, object]]] = {
    "connect": lambda session: session.connect(),
    "execute": lambda session: session.execute("x"),
    "a deadline": lambda session: session.execute("loop", timeout=0.01),
    "evaluate": lambda session: session.evaluate("1"),
    "stream": consume,
    "disconnect": lambda session: session.disconnect(),
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_cancelled_at_every_tick_a_session_is_usable_or_disposed_and_nothing_is_left(name: str) -> None:
    for tick in range(40):
        script = Script()
        session = script.session()
        if name != "connect":
            await session.connect()
        task = asyncio.create_task(OPERATIONS[name](session))
        await ticks(tick)
        task.cancel()
        await asyncio.wait([task])
        if name != "close":
            await session.connect()
            assert (await session.execute("x", timeout=2)).output == "done"
        await session.close()
        assert session.state is State.DISPOSED
        assert not script.board.connected
        await ticks(3)
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_waiter_cancelled_in_the_tick_of_a_release_is_cancelled() -> None:
    script = Script()
    session = script.session()
    await session.connect()
    first = asyncio.create_task(session.execute("loop"))
    await active(session)
    second = asyncio.create_task(session.execute("x"))
    await ticks(2)
    script.board.lose()
    await ticks(2)
    second.cancel()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], OutcomeUnknown)
    assert isinstance(results[1], asyncio.CancelledError | Disconnected)


async def test_an_operation_that_meets_a_disconnect_is_refused_and_gives_the_turn_back() -> None:
    session = Script().session()
    await session.connect()
    ending = asyncio.create_task(session.disconnect())
    await ticks(1)
    with pytest.raises(SessionClosed, match="DISCONNECTING"):
        await session.execute("x")
    await ending
    await session.connect()
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_connecting_while_disconnecting_waits_and_connects() -> None:
    for tick in range(4):
        session = Script().session()
        await session.connect()
        ending = asyncio.create_task(session.disconnect())
        await ticks(tick)
        await session.connect()
        await ending
        if session.state is State.DISCONNECTED:  # it was connected still when connect looked
            await session.connect()
        assert (await session.execute("x")).output == "done"
        await session.close()


async def test_a_link_lost_right_after_the_handshake_is_a_failed_connect() -> None:
    script = Script()
    session = script.session()
    script.lost_after_about = True
    with pytest.raises(ConnectionFailed, match="lost"):
        await session.connect()
    assert session.state is State.ERROR
    script.lost_after_about = False
    await session.connect()
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_an_interrupt_stops_one_execution_and_not_the_next_in_the_queue() -> None:
    script = Script()
    session = script.session()
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


async def test_two_interrupts_at_once_and_one_that_gives_up_are_all_interrupts() -> None:
    script = Script()
    session = script.session()
    await session.connect()
    script.on_code = lambda _: b"running"
    running = asyncio.create_task(session.execute("stubborn"))
    await active(session)
    with pytest.raises(SessionTimeout, match="catches Ctrl-C"):
        await session.interrupt(timeout=0.05)
    both = asyncio.gather(session.interrupt(), session.interrupt())
    await ticks(3)
    script.board.feed(KEYBOARD_INTERRUPT)
    with pytest.raises(Interrupted):
        await running
    assert await both == [True, True]
    await session.close()


async def test_an_interrupt_in_the_middle_of_paced_code_ends_it_unrun() -> None:
    script = Script(raw_paste=False)
    session = script.session(communication=CommunicationOptions(pace=0.05))
    await session.connect()
    running = asyncio.create_task(session.execute("x = 1\n" * 1000))
    await active(session)
    assert await session.interrupt()
    with pytest.raises(Interrupted, match="none of it ran"):
        await running
    assert b"x = 1" not in b"".join(script.codes), "only the question whether there is room for it ran"
    assert (await session.execute("x")).output == "done"
    await session.close()


async def test_a_stream_left_while_the_link_was_paused_does_not_starve_the_next_operation() -> None:
    script = Script()
    session = script.session()
    await session.connect()

    def twice(code: bytes) -> bytes | None:
        if code != b"big":
            return None
        script.board.feed(b"x" * 60_000)
        return b"x" * 60_000 + b"\x04\x04>"

    script.on_code = twice
    async with aclosing(session.stream("big", mode="bytes")) as stream:
        await anext(stream)
        await ticks(5)
    assert (await session.execute("x", timeout=1)).output == "done"
    await session.close()


async def test_a_soft_reset_that_loses_the_link_has_an_unknown_outcome() -> None:
    script = Script()
    session = script.session()
    await session.connect()
    script.silent = True
    resetting = asyncio.create_task(session.soft_reset())
    await active(session)
    script.board.lose()
    with pytest.raises(OutcomeUnknown):
        await resetting
    await session.close()


async def test_code_that_met_a_friendly_prompt_is_known_not_to_have_run() -> None:
    script = Script()
    session = script.session()
    await session.connect()
    script.at_friendly_prompt = True
    with pytest.raises(ProtocolViolation, match="friendly prompt") as caught:
        await session.execute("x")
    assert caught.value.outcome == "not_started"
    assert script.codes == []
    assert (await session.execute("x")).output == "done"
    await session.close()


@pytest.mark.parametrize("answer", [b"[1]", b"-" * 4000 + b"1", b"nonsense", b"", b"{'n': 1}"])
async def test_nonsense_about_itself_is_a_failed_connect(answer: bytes) -> None:
    script = Script()
    script.about = answer + b"\r\n\x04\x04>"
    with pytest.raises(ConnectionFailed, match="could not be read"):
        await script.session().connect()


async def test_random_noise_never_hangs_and_raises_nothing_foreign() -> None:
    import random

    chance = random.Random(7)
    for _ in range(60):
        script = Script()
        session = script.session(recovery_timeout=0.05, connection_timeout=1)
        await session.connect()
        script.on_code = lambda _: bytes(chance.choices(b"R\x01\x80\x00\x04>OK\r\nraw REPL; x", k=chance.randrange(80)))
        for _ in range(3):
            with contextlib.suppress(BelayError):
                await session.execute("x", timeout=0.01)
        await session.close()
        assert not script.board.connected


@pytest.mark.parametrize("timeout", ["5", None, -1, float("nan"), 10**400])
async def test_odd_timeouts(timeout: object) -> None:
    session = Script().session()
    await session.connect()
    if timeout is None or timeout == 10**400:
        await session.execute("x", timeout=timeout)
    else:
        with pytest.raises(SettingsError, match="timeout is"):
            await session.execute("x", timeout=timeout)  # type: ignore[arg-type]  # that is the test
    await session.close()


async def test_a_disposed_session_says_so_to_connect() -> None:
    session = Script().session()
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
