"""Messages from code on real MicroPython, beside prints, in every way in which code runs."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import re
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py import (
    BelayError,
    BoardWasReset,
    CommunicationOptions,
    DeviceSession,
    DeviceSessionManager,
    Disconnected,
    ExecutionError,
    Interrupted,
    Message,
    NotSupported,
    OutcomeUnknown,
    ProtocolViolation,
    SessionTimeout,
    SettingsError,
)
from belay_py.session import sender
from belay_py.session.errands import kit
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.testing import (
    Answer,
    Corrupt,
    Cut,
    FaultyWire,
    Forever,
    HardReset,
    Lose,
    Pause,
    ScriptedBoard,
    SoftReset,
    SwallowInterrupts,
)
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.conftest import PtyBoard

WAYS = {
    "marked": CommunicationOptions(),
    "plain": CommunicationOptions(framing="plain"),
    "checked": CommunicationOptions(integrity=True),
}


@pytest.fixture(params=WAYS)
async def session(request: pytest.FixtureRequest, port: str) -> AsyncIterator[DeviceSession]:
    """A session of each way in which bytes travel."""
    async with DeviceSession(port, communication=WAYS[request.param]) as session:
        yield session


def values(messages: list[Message]) -> list[Any]:
    return [message.value for message in messages]


# -- what comes -----------------------------------------------------------------------------------------------------


async def test_a_message_and_all_that_it_carries(session: DeviceSession) -> None:
    inbox = session.messages()
    result = await session.execute("print('a', end='')\nbelay_send([1, 2.5, b'x'], 'sensor')\nprint('b', end='')")
    assert result.output_bytes == b"ab"
    (message,) = inbox.take()
    assert (message.value, message.topic, message.missed) == ([1, 2.5, b"x"], "sensor", 0)
    assert message.session is session
    assert message.boot_epoch == session.boot_epoch
    assert message.at <= session.last_used


async def test_in_every_way_of_running_code(session: DeviceSession, tmp_path: Any) -> None:
    inbox = session.messages()
    file = tmp_path / "code.py"
    file.write_text("belay_send('run')\nprint(1)")
    assert (await session.run(file)).output == "1\n"
    assert await session.evaluate("belay_send('evaluate')\n[belay_send('in it'), 2]") == [None, 2]
    code = "for n in range(3):\n print(n)\n belay_send(n)"
    assert "".join([piece async for piece in session.stream(code)]) == "0\n1\n2\n"
    assert [line async for line in session.stream(code, mode="lines")] == ["0", "1", "2"]
    assert b"".join([piece async for piece in session.stream(code, mode="bytes")]) == b"0\r\n1\r\n2\r\n"
    many = await session.execute_many(["belay_send('one')\nprint(1)", "belay_send('two')", "print(3)"])
    assert [result.output for result in many] == ["1\n", "", "3\n"]
    assert values(inbox.take()) == ["run", "evaluate", "in it", *[0, 1, 2] * 3, "one", "two"]


async def test_beside_an_exception(session: DeviceSession) -> None:
    inbox = session.messages()
    with pytest.raises(ExecutionError) as caught:
        await session.execute("print(1)\nbelay_send(1)\nraise ValueError('x')")
    assert caught.value.output == "1\n"
    assert values(inbox.take()) == [1]


async def test_it_comes_while_the_code_runs(session: DeviceSession) -> None:
    inbox = session.messages(timeout=10)
    running = asyncio.ensure_future(session.execute("belay_send('now')\nwhile True: pass"))
    assert (await anext(inbox)).value == "now"
    await session.interrupt()
    with pytest.raises(Interrupted):
        await running


async def test_a_print_that_looks_like_a_message_is_output(session: DeviceSession) -> None:
    inbox = session.messages()
    await session.execute("belay_send(1)")
    forged = r"\x1eAAAAAAAAAAA2,0,1,:5,\x1f"
    result = await session.execute(f"print('{forged}', end='')\nprint('\\x1e\\x1e\\x1f', end='')")
    assert result.output_bytes == b"\x1eAAAAAAAAAAA2,0,1,:5,\x1f\x1e\x1e\x1f"
    assert values(inbox.take()) == [1]


async def test_a_print_storm_beside_messages(session: DeviceSession) -> None:
    inbox = session.messages(limit=5000)
    code = "for n in range(1000):\n print('x' * (n % 90), end='\\x1e')\n belay_send((n, 'y' * (n % 300)))"
    result = await session.execute(code, timeout=60)
    assert result.output == "".join("x" * (n % 90) + "\x1e" for n in range(1000))
    assert values(inbox.take()) == [(n, "y" * (n % 300)) for n in range(1000)]


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.binary() | st.text()
)
HASHABLE = st.integers(-(2**80), 2**80) | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(st.integers(), max_size=4)
    ),
    max_leaves=15,
)


@pytest.fixture(scope="module")
def blocking() -> Iterator[BlockingSession]:
    """One session for all that a property test tries."""
    with BlockingSession("virtual:") as session:
        yield session


def written(value: Any) -> str:
    """Code that makes a value on the board, which knows no `inf` and no `nan` in its source."""
    return repr(value).replace("inf", "float('inf')") if isinstance(value, float) else repr(value)


def sendable(value: Any) -> bool:
    return "inf" not in repr(value) and not any(0xD800 <= ord(char) < 0xE000 for char in repr(value))


@given(st.lists(st.tuples(VALUES.filter(sendable), st.none() | st.text(max_size=10)), min_size=1, max_size=5))
def test_what_is_sent_is_what_comes(blocking: BlockingSession, sent: list[tuple[Any, str | None]]) -> None:
    inbox = blocking.messages()
    results = blocking.execute_many([f"belay_send({written(value)}, {topic!r})\nprint(1)" for value, topic in sent])
    assert all(result.output == "1\n" for result in results)
    assert [(message.value, message.topic) for message in inbox.take()] == sent


async def test_numbers_that_have_no_literal(session: DeviceSession) -> None:
    inbox = session.messages()
    await session.execute("belay_send(float('inf'))\nbelay_send(float('nan'))\nbelay_send(1j)\nbelay_send(-0.0)")
    infinite, no_number, imaginary, zero = values(inbox.take())
    assert infinite == math.inf
    assert math.isnan(no_number)
    assert imaginary == 1j
    assert math.copysign(1, zero) == -1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("belay_send(print)", "TypeError: belay_send: function has no form that can be sent"),
        ("belay_send([1, {2: object()}])", "TypeError: belay_send: object has no form"),
        ("belay_send(1, 2)", "TypeError: belay_send: topic must be a str"),
        ("n = []\nn.append(n)\nbelay_send(n)", "ValueError: belay_send: nested too deep"),
    ],
)
async def test_what_cannot_be_sent_is_the_boards_exception(port: str, code: str, words: str) -> None:
    async with DeviceSession(port) as session:
        inbox = session.messages()
        with pytest.raises(ExecutionError, match=words):
            await session.execute(code)
        await session.execute("belay_send('well')")
        assert [(message.value, message.missed) for message in inbox.take()] == [("well", 0)]


async def test_what_could_not_be_sent_does_not_stay_on_the_heap(port: str) -> None:
    async with DeviceSession(port) as session:
        inbox = session.messages()
        free = "import gc\ngc.collect()\nprint(gc.mem_free())"
        before = int((await session.execute(free)).output)
        with pytest.raises(ExecutionError, match="TypeError"):
            await session.execute("belay_send(['x' * 100_000, object()])")
        await session.execute("gc.collect()")
        assert int((await session.execute(free)).output) > before - 20_000
        assert not inbox.take()


async def test_a_callback_on_the_board_that_sends_in_the_middle_of_a_message(session: DeviceSession) -> None:
    inbox = session.messages(limit=10_000)
    code = """
import micropython
sent = 0
def tick(n):
    global sent
    sent += 1
    belay_send(('tick', n))
    if n > 0: micropython.schedule(tick, n - 1)  # wherever the interpreter looks for one next
micropython.schedule(tick, 300)
for n in range(100):
    belay_send(('main', n, [n, str(n), {n: n}]))
    print(n)
while sent <= 300: pass
"""
    result = await session.execute(code, timeout=60)
    ticks = await session.evaluate("sent")
    came = inbox.take()
    assert result.output == "".join(f"{n}\n" for n in range(100))
    assert [value[1:] for value in values(came) if value[0] == "main"] == [(n, [n, str(n), {n: n}]) for n in range(100)]
    assert sum(value[0] == "tick" for value in values(came)) == ticks > 0
    assert [message.number - came[0].number for message in came] == list(range(len(came)))
    assert not any(message.missed for message in came)


# -- lives and connections ------------------------------------------------------------------------------------------


async def test_nothing_is_sent_before_somebody_asks(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.soft_reset()
        sent = session.statistics.bytes_sent
        await session.execute("pass")
        assert session.statistics.bytes_sent - sent < 40
        assert session._standing.channel is not None
        assert session._standing.channel.tap is None
        with pytest.raises(ExecutionError, match="NameError"):
            await session.execute("belay_send(1)")


async def test_nothing_is_sent_for_nobody(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.soft_reset()
        session.on_message(print)()
        session.messages()
        gc.collect()
        sent = session.statistics.bytes_sent
        await session.execute("pass")
        assert session.statistics.bytes_sent - sent < 40


async def test_it_is_prepared_once_per_life(port: str) -> None:
    async with DeviceSession(port) as session:
        inbox = session.messages()
        await session.execute("belay_send(1)")
        sent = session.statistics.bytes_sent
        await session.execute("belay_send(2)")
        assert session.statistics.bytes_sent - sent < 60
        await session.soft_reset()
        await session.execute("belay_send(3)")
        await session.execute("belay_send(4)")
        with pytest.raises(BoardWasReset):
            await session.execute("belay_send(5)\nraise SystemExit")
        await session.execute("belay_send(6)")
        assert [(m.value, m.number, m.missed, m.boot_epoch) for m in inbox.take()] == [
            (1, 0, 0, 1), (2, 1, 0, 1), (3, 0, 0, 2), (4, 1, 0, 2), (5, 2, 0, 2), (6, 0, 0, 3),
        ]  # fmt: skip


async def test_over_a_reconnection(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.soft_reset()
        inbox = session.messages()
        await session.execute("belay_send(1)")
        await session.reconnect()
        await session.execute("belay_send(2)")
        await session.disconnect()
        await session.connect()
        await session.execute("belay_send(3)")
        came = inbox.take()
        assert values(came) == [1, 2, 3]
        assert [message.missed for message in came] == [0, 0, 0]
    assert [message async for message in inbox] == []


async def test_half_a_message_and_the_link_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    async with VirtualBoard(name="half") as board, FaultyWire(board.port) as wire, DeviceSession(wire.port) as session:
        inbox = session.messages()
        await session.execute("belay_send('first')")
        wire.to_host.at(wire.to_host.passed + 150, Cut())
        with pytest.raises(OutcomeUnknown):
            await session.execute("belay_send('x' * 1000)")
        assert values(inbox.take()) == ["first"]
        assert "came damaged" in caplog.text


async def test_a_damaged_one_is_none_and_the_next_one_tells(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        VirtualBoard(name="damaged") as board,
        FaultyWire(board.port) as wire,
        DeviceSession(wire.port) as session,
    ):
        inbox = session.messages()
        await session.execute("belay_send('first')")
        wire.to_host.at(wire.to_host.passed + 100, Corrupt())
        result = await session.execute("print(1)\nbelay_send('x' * 1000)\nprint(2)")
        assert result.output == "1\n2\n"
        await session.execute("belay_send('next')")
        assert [(message.value, message.missed) for message in inbox.take()] == [("first", 0), ("next", 1)]
        assert "came damaged" in caplog.text


async def test_a_timeout_and_an_interrupt_leave_all_in_order(session: DeviceSession) -> None:
    inbox = session.messages()
    with pytest.raises(SessionTimeout):
        await session.execute("n = 0\nwhile True:\n belay_send(n)\n n += 1", timeout=0.3)
    came = inbox.take()
    assert len(came) > 3
    assert (await session.execute("belay_send('next')\nprint('next')")).output == "next\n"
    assert values(inbox.take())[-1] == "next"


# -- consumers ------------------------------------------------------------------------------------------------------


async def test_consumers_hear_from_their_making_on_each_for_himself(port: str) -> None:
    async with DeviceSession(port) as session:
        first = session.messages()
        await session.execute("belay_send(1, 'a')")
        second, topical = session.messages(), session.messages(topic="b")
        await session.execute("belay_send(2, 'a')\nbelay_send(3, 'b')")
        assert (values(first.take()), values(second.take()), values(topical.take())) == ([1, 2, 3], [2, 3], [3])
        first.close()
        await session.execute("belay_send(4)")
        assert (values(first.take()), values(second.take())) == ([], [4])


async def test_a_consumer_that_leaves_is_forgotten(port: str) -> None:
    async with DeviceSession(port) as session:
        session.on_message(lambda message: None)
        stream = session.messages()
        running = asyncio.ensure_future(session.execute("for n in range(3): belay_send(n)"))
        async for message in stream:
            assert message.value == 0
            break
        await running
        del stream
        gc.collect()
        assert session._standing.inbox is not None
        assert not session._standing.inbox._streams


async def test_a_slow_consumer_misses_the_oldest_and_is_told(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async with DeviceSession(port) as session:
        inbox = session.messages(limit=3)
        await session.execute("for n in range(10): belay_send(n)")
        assert [(message.value, message.missed) for message in inbox.take()] == [(7, 7), (8, 0), (9, 0)]
        assert "too slow" in caplog.text
        await session.execute("belay_send(10)")
        assert [(message.value, message.missed) for message in inbox.take()] == [(10, 0)]


async def test_waiting_for_one_that_does_not_come(port: str) -> None:
    async with DeviceSession(port) as session:
        inbox = session.messages(timeout=0.05)
        with pytest.raises(SessionTimeout, match="no message came for 0.05 s"):
            await anext(inbox)
        await session.execute("belay_send(1)")
        assert (await anext(inbox)).value == 1


async def test_it_ends_with_the_session_and_not_before(port: str) -> None:
    session = DeviceSession(port)
    inbox = session.messages()
    await session.connect()
    waiting = asyncio.ensure_future(anext(inbox, None))
    await session.disconnect()
    await asyncio.sleep(0)
    assert not waiting.done()
    await session.close()
    assert await waiting is None
    assert [message async for message in session.messages()] == []


async def test_callbacks(port: str, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []

    def wrong(message: Message) -> None:
        raise RuntimeError("a callback's own")

    async def answer(message: Message) -> None:
        heard.append((await message.session.execute(f"print({message.value} * 2)")).output)

    async with DeviceSession(port) as session:
        end = session.on_message(lambda message: heard.append(message.value))
        session.on_message(wrong)
        await session.execute("belay_send(1)")
        end()
        end()
        session.on_message(lambda message: heard.append(message.topic), topic="mine")
        await session.execute("belay_send(2)\nbelay_send(3, 'mine')\nbelay_send(4, 'yours')")
        assert heard == [1, "mine"]
        assert "a callback's own" in caplog.text
        session.on_message(answer)
        await session.execute("belay_send(21)")
        while len(heard) < 3:
            await asyncio.sleep(0)
        assert heard[2] == "42\n"


async def test_a_callback_misses_none_that_is_not_for_it(port: str, caplog: pytest.LogCaptureFixture) -> None:
    heard, catch_up, last = [], asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> None:
        heard.append(message.value)
        await catch_up.wait()
        if message.value == 999:
            last.set()

    async with DeviceSession(port) as session:
        end = session.on_message(slow, topic="mine")
        await session.execute("for i in range(1000): belay_send(i, 'mine')\nfor i in range(9): belay_send(i, 'other')")
        catch_up.set()
        await last.wait()
        end()
    assert heard == list(range(1000))
    assert not [record for record in caplog.records if "slow" in record.getMessage()]


async def test_what_makes_no_sense_is_refused(port: str) -> None:
    session = DeviceSession(port)
    mistakes: list[dict[str, Any]] = [{"topic": 5}, {"limit": 0}, {"timeout": -1}]
    for wrong in mistakes:
        with pytest.raises(SettingsError):
            session.messages(**wrong)
    with pytest.raises(SettingsError):
        session.on_message(5)  # type: ignore[arg-type]  # the mistake that is tested


async def test_in_a_lease(port: str) -> None:
    async with DeviceSessionManager() as manager:
        await manager.create_session("board", port)
        async with manager.lease("board") as session:
            inbox = session.messages()
            await session.execute("belay_send(1)")
            (message,) = inbox.take()
            assert message.session.device_id == "board"


async def test_a_board_without_the_memory_runs_code_and_says_so(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "KIT", kit("s", "raise MemoryError('none left')"))
    async with DeviceSession(port) as session:
        inbox = session.messages(timeout=1)
        assert (await session.execute("print(1)")).output == "1\n"
        with pytest.raises(NotSupported, match="cannot send messages \\(MemoryError: none left\\)"):
            await anext(inbox)
        sent = session.statistics.bytes_sent
        assert (await session.execute("print(2)")).output == "2\n"
        assert session.statistics.bytes_sent - sent < 40


async def test_who_asks_later_is_told_too_and_gets_messages_once_there_is_memory() -> None:
    async with DeviceSession("virtual:?memory=65536") as session:
        await session.execute("import gc\nkept = []\nwhile gc.mem_free() > 6000: kept.append(bytearray(500))")
        for _ in range(2):
            inbox = session.messages(timeout=5)
            await session.execute("gc.collect()")
            with pytest.raises(NotSupported, match="MemoryError"):
                await anext(inbox)
        assert (await session.execute("print('_belay_w' in globals())")).output == "False\n", "half of what did not fit"
        await session.execute("del kept\ngc.collect()")
        heard: list[Message] = []
        end = session.on_message(heard.append)
        inbox = session.messages()
        await session.execute("belay_send(1)")
        assert values(inbox.take()) == values(heard) == [1]
        end()


@pytest.mark.parametrize("way", WAYS)
async def test_names_and_words_of_the_program_are_left_alone(way: str) -> None:
    async with DeviceSession("virtual:", communication=WAYS[way]) as session:
        await session.execute("names = 'n i o p v z q g h L N Q y C k w e x s b t'.split()")
        await session.execute("for name in names: exec(name + '=1')\nprint = None\nbefore = set(globals())")
        inbox = session.messages()
        await session.execute("belay_send([eval(name) for name in names] == [1] * len(names))")
        await session.execute("belay_send(sorted(set(globals()) - before - {'before'}))")
        assert values(inbox.take()) == [True, []]


@pytest.mark.parametrize("name", [sender.NAME, sender.KIT.name], ids=["call", "kit"])
async def test_a_kit_that_is_cut_half_way_does_not_look_whole(name: str) -> None:
    async with DeviceSession("virtual:") as session:
        for part in sender.KIT.parts[:-1]:
            await session.execute(part)
        await session.execute(f"del _belay_w['{name}']")
        with pytest.raises(ExecutionError, match="KeyError"):
            await session.execute(sender.KIT.parts[-1])
        with pytest.raises(ExecutionError, match="NameError"):
            await session.execute(sender.KIT.name)
        inbox = session.messages()
        await session.execute("belay_send(1)")
        assert values(inbox.take()) == [1]


async def test_on_small_boards(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board(memory=64 * 1024, raw_paste="absent")
    async with DeviceSession(board.port) as session:
        inbox = session.messages()
        await session.execute("belay_send([1, 'a'], 'small')")
        assert [(message.value, message.topic) for message in inbox.take()] == [([1, "a"], "small")]


async def test_an_unseen_restart(make_pty_board: Callable[..., PtyBoard]) -> None:
    board = make_pty_board()
    async with DeviceSession(board.port) as session:
        inbox = session.messages()
        await session.execute("belay_send(1)")
        board.process.reset()
        with pytest.raises(BoardWasReset):
            await session.execute("belay_send(2)")
        await session.execute("belay_send(3)")
        assert [(message.value, message.number) for message in inbox.take()] == [(1, 0), (3, 0)]


# -- what no virtual board does: timers and threads that print at the worst moment -----------------------------------


class Sending:
    """A scripted board that knows ``belay_send``."""

    def __init__(self) -> None:
        self.board = ScriptedBoard(on_code=self._on_code)
        self.nonce = b""
        self.number = 0

    def _on_code(self, code: str) -> Answer:
        asked = re.fullmatch(r"exec\(.+,{'i':_belay_s\w{4}\('([\w-]+)'\)}\)", code)
        if asked is None:
            return f"ran {code}\n"
        self.nonce = asked[1].encode()
        return f"belay_send {self.number}.\n"

    def frame(self, value: bytes) -> bytes:
        number, self.number = self.number, self.number + 1
        checksum = zlib.crc32(value, number)
        return b"\x1e%s%x,0,%x,%x:%s\x1f" % (self.nonce, len(value), number, checksum, value)


async def test_a_message_while_nothing_runs_is_no_doubt_about_the_prompt() -> None:
    sending = Sending()
    async with DeviceSession(sending.board.port) as session:
        inbox = session.messages(timeout=10)
        await session.execute("first")
        frame = sending.frame(b"'idle R\xc3\xa9 >>> MicroPython v'")
        for at in range(0, len(frame), 7):
            sending.board.send(frame[at : at + 7])
        assert (await anext(inbox)).value == "idle R\N{LATIN SMALL LETTER E WITH ACUTE} >>> MicroPython v"
        channel = session._standing.channel
        assert channel is not None
        assert (channel.repl.stray, channel.repl.doubted) == (0, False)
        assert (await session.execute("second")).output == "ran second\n"


async def test_half_a_message_at_the_prompt_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    sending = Sending()
    async with DeviceSession(sending.board.port) as session:
        inbox = session.messages(timeout=10)
        await session.execute("first")
        for cut in range(12, 30):
            sending.board.send(sending.frame(b"'lost'")[:cut])
            assert (await session.execute("x" * 600)).output == f"ran {'x' * 600}\n"
        sending.board.send(sending.frame(b"'next'"))
        message = await anext(inbox)
        assert (message.value, message.missed) == ("next", 18)
        assert "came damaged" in caplog.text


async def test_a_thread_that_prints_into_a_message_and_half_a_message_before_the_end() -> None:
    sending = Sending()
    async with DeviceSession(sending.board.port) as session:
        inbox = session.messages(timeout=10)
        await session.execute("first")

        def disturbed(code: str) -> Answer:
            frame, other = sending.frame(b"'whole'"), sending.frame(b"'half'")
            return b"a", frame[:-4], b"printed\r\n", frame[-4:], b"b", other[:-3]

        sending.board.on_code = disturbed
        assert (await session.execute("second")).output_bytes == b"aprinted\r\nb"
        assert values(inbox.take()) == ["whole"]


ENDS: dict[str, tuple[Answer, type[BelayError]]] = {
    "no end": (Forever(), SessionTimeout),
    "a reset": (SoftReset(), BoardWasReset),
    "a restart of the chip": (HardReset(), BoardWasReset),
    "a reset behind the deadline": ((SwallowInterrupts(99), Pause(0.6), SoftReset()), BoardWasReset),
    "a lost link": (Lose(), Disconnected),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_goes_wrong_before_the_code_says_that_it_has_not_started(end: str) -> None:
    step, error = ENDS[end]
    board = ScriptedBoard(on_code=lambda code: step if sender.KIT.name in code else "ran")
    async with DeviceSession(board.port) as session:
        inbox = session.messages()
        with pytest.raises(error) as caught:
            await session.execute("mine", timeout=0.5)
        assert caught.value.outcome == "not_started"  # type: ignore[attr-defined]  # each of these has one
        inbox.close()
    assert "mine" not in [execution.code for execution in board.executions]


async def test_damage_before_the_code_says_that_it_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "KIT", kit("s", "_belay_x(b'noise')"))
    async with DeviceSession("virtual:", communication=WAYS["checked"]) as session:
        inbox = session.messages()
        with pytest.raises(ProtocolViolation) as caught:
            await session.execute("mine = 1")
        assert caught.value.outcome == "not_started"
        inbox.close()
        del inbox
        with pytest.raises(ExecutionError, match="NameError"):
            await session.execute("mine")


# -- the blocking face ----------------------------------------------------------------------------------------------


def test_blocking_iteration_beside_an_execution(port: str) -> None:
    with BlockingSession(port) as session:
        inbox = session.messages(timeout=20)
        worker = threading.Thread(target=session.execute, args=("for n in range(5): belay_send(n)",))
        worker.start()
        heard = [next(inbox).value for _ in range(5)]
        worker.join()
        assert heard == [0, 1, 2, 3, 4]
        session.execute("belay_send('kept')")
        (message,) = inbox.take()
        assert message.session is session
        short = session.messages(timeout=0)
        with pytest.raises(SessionTimeout):
            next(short)
        short.close()
        assert list(short) == []
    assert list(inbox) == []


def test_a_blocking_callback_may_use_the_session(port: str) -> None:
    heard: list[Any] = []
    done = threading.Event()

    def answer(message: Message) -> None:
        heard.append((message.session.execute(f"print({message.value} + 1)").output, threading.current_thread().name))
        done.set()

    with BlockingSession(port) as session:
        end = session.on_message(answer)
        session.execute("belay_send(41)")
        assert done.wait(20)
        end()
        session.execute("belay_send(5)")
    ((output, thread),) = heard
    assert output == "42\n"
    assert "MainThread" not in thread


def test_messages_are_quiet_when_all_is_well(port: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with BlockingSession(port) as session:
        session.messages()
        inbox = session.messages()
        session.execute("for n in range(50): belay_send(n)\nprint(1)")
        assert len(inbox.take()) == 50
    assert not caplog.records
