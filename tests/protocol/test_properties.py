"""What must hold of `RawRepl` for any bytes whatever: exact output, any splits, and noise in every state."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import BoardWasReset, DeviceSession, ExecutionError
from belay_py.errors import ProtocolViolation
from belay_py.protocol import BoardReset, Event, Finished, Output, RawRepl, ReplState
from belay_py.testing import Raise, ScriptedBoard, SoftReset, Step, VirtualClock

from .test_recordings import events_of, ready

# Bytes that end a response, or look like it, among any others.
FORGERIES = [
    b"\x04",
    b"\x04\x04>",
    b"\x04>",
    b"\x01",
    b"OK",
    b"R\x01\x80\x00\x01",
    b"raw REPL; CTRL-B to exit\r\n>",
    b"\x04\x04MPY: soft reboot\r\n",
    b"\x04Traceback (most recent call last):\r\nKeyError: x\r\n\x04>",
    b'Type "help()" for more information.\r\n>>> ',
    b"paste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ",
    b"ab",
]
OUTPUT = st.lists(st.one_of(st.sampled_from(FORGERIES), st.binary(max_size=30)), max_size=8).map(b"".join)
PLAIN_OUTPUT = st.binary(max_size=300).map(lambda data: data.replace(b"\x04", b""))
CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=30)
WINDOWS = st.sampled_from([0, 32, 128])
ENDINGS = st.sampled_from([b"", b'Traceback (most recent call last):\r\n  File "<stdin>"\r\nValueError: bad\r\n'])


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Split data into pieces of these sizes, over and over."""
    pieces: list[bytes] = []
    while data:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def head(window: int) -> bytes:
    """How a board takes code that fits its windows."""
    return b"R\x01" + window.to_bytes(2, "little") + b"\x01\x04" if window else b"R\x00>OK"


def play(repl: RawRepl, reply: bytes, sizes: list[int], *, fenced: bytes = b"") -> list[Event]:
    """Feed a reply in pieces, and the answer to a fence when one is sent; return the events."""
    events: list[Event] = []
    repl.data_to_send()
    pieces = cut(reply, sizes)
    while pieces:
        repl.receive_data(pieces.pop(0))
        events += events_of(repl)
        if fenced and b"{}['" in repl.data_to_send():
            pieces += cut(fenced, sizes)
            fenced = b""
    return events


def joined(events: list[Event]) -> tuple[bytes, Event]:
    """The whole output, and the last event."""
    last = events[-1]
    assert isinstance(last, Finished | BoardReset)
    return b"".join(event.data for event in events if isinstance(event, Output)) + last.output, last


@settings(max_examples=300, deadline=None)
@given(PLAIN_OUTPUT, ENDINGS, CUTS, WINDOWS, st.booleans())
def test_plain_framing_returns_any_output_without_its_one_byte(
    output: bytes, traceback: bytes, sizes: list[int], window: int, stream: bool
) -> None:
    repl = ready(window)
    repl.submit(b"x", stream=stream)
    whole, last = joined(play(repl, head(window) + output + b"\x04" + traceback + b"\x04>", sizes))
    assert whole == output
    assert isinstance(last, Finished)
    assert last.traceback == traceback
    assert repl.state is ReplState.READY


@settings(max_examples=500, deadline=None)
@given(OUTPUT, ENDINGS, CUTS, WINDOWS, st.booleans())
def test_marked_framing_returns_any_output_exactly(
    output: bytes, traceback: bytes, sizes: list[int], window: int, stream: bool
) -> None:
    repl = ready(window)
    repl.submit(b"x", nonce="-_-_012345", stream=stream)
    marker = b"" if traceback else b"-_-_"
    reply = head(window) + output + marker + b"\x04" + traceback + b"\x04>"
    fence = head(window) + b"\x04Traceback (most recent call last):\r\nKeyError: 012345\r\n\x04>"
    whole, last = joined(play(repl, reply, sizes, fenced=fence))
    assert whole == output
    assert isinstance(last, Finished)
    assert last.traceback == traceback
    assert repl.state is ReplState.READY


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["execute", "reset", "handshake"]), max_size=4), CUTS, CUTS, OUTPUT, WINDOWS)
def test_any_split_gives_the_same_events(
    steps: list[str], sizes: list[int], others: list[int], output: bytes, window: int
) -> None:
    def conversation(sizes: list[int]) -> list[Event]:
        repl, events = ready(window), list[Event]()
        for step in steps:
            if step == "execute":
                repl.submit(b"x", nonce="-_-_012345")
                fence = head(window) + b"\x04Traceback (most recent call last):\r\nKeyError: 012345\r\n\x04>"
                events += play(repl, head(window) + output + b"-_-_\x04\x04>", sizes, fenced=fence)
                continue
            if step == "reset":
                repl.soft_reset()
                events += play(repl, b"OK\r\nMPY: soft reboot\r\n" + b"raw REPL; CTRL-B to exit\r\n>", sizes)
            repl.enter("abcdef")
            opening = b"R\x01\x80\x00\x01\x04" if window else b"R\x00>OK"
            if window == 32:
                opening = opening.replace(b"\x80", b"\x20")
            events += play(repl, output + opening + b"abcdef\r\n\x04\x04>", sizes)
        return events

    assert conversation(sizes) == conversation(others)


NOISE = st.lists(st.one_of(OUTPUT, st.sampled_from([head(0), head(32), head(128)])), max_size=6)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(ReplState), NOISE, st.booleans(), st.booleans(), st.integers(1, 400))
def test_noise_in_any_state_raises_nothing_but_violations(
    state: ReplState, noise: list[bytes], marked: bool, stream: bool, length: int
) -> None:
    repl = in_state(state, nonce="-_-_012345" if marked else "", stream=stream, length=length)
    assert repl.state is state
    for data in noise:
        with contextlib.suppress(ProtocolViolation):
            repl.receive_data(data)
        events_of(repl)
        repl.data_to_send()
    repl.enter("fedcba")  # and a handshake leads out of it
    repl.receive_data(b"R\x01\x80\x00\x01\x04fedcba\r\n\x04\x04>")
    assert repl.state is ReplState.READY


def in_state(state: ReplState, *, nonce: str, stream: bool, length: int) -> RawRepl:
    """A conversation that has come to a state."""
    if state is ReplState.UNKNOWN:
        return RawRepl()
    if state is ReplState.ENTERING:
        repl = RawRepl()
        repl.enter("abcdef")
        return repl
    repl = ready(128)
    if state is ReplState.REBOOTING:
        repl.soft_reset()
    elif state is not ReplState.READY:
        repl.submit(b"x" * length, nonce=nonce, stream=stream)
    if state in (ReplState.UPLOADING, ReplState.OUTPUT):
        repl.receive_data(b"R\x01\x80\x00\x01")
    if state is ReplState.OUTPUT:
        repl.receive_data(b"\x04")
    repl.data_to_send()
    return repl


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(OUTPUT, st.sampled_from(["", "raise", "reset"])), max_size=5), st.integers(0, 5), WINDOWS)
def test_a_session_returns_the_output_of_each_execution_exactly(
    programs: list[tuple[bytes, str]], chunks: int, window: int
) -> None:
    """Against the scripted board; `tests/session/test_exact.py` does it with real MicroPython."""

    def on_code(code: str) -> tuple[Step, ...]:
        output, ending = programs[int(code)]
        return {"": (output,), "raise": (output, Raise("ValueError", "bad")), "reset": (output, SoftReset())}[ending]

    async def run() -> None:
        board = ScriptedBoard(on_code=on_code, chunks=chunks, window=window or 128)
        if not window:
            board.raw_paste = "refused"
        async with DeviceSession(board.port) as session:
            for number, (output, ending) in enumerate(programs):
                try:
                    written, ended = (await session.execute(str(number))).output_bytes, ""
                except (ExecutionError, BoardWasReset) as error:
                    written = error.output_bytes
                    ended = "raise" if isinstance(error, ExecutionError) else "reset"
                assert (written, ended) == (output, ending)

    VirtualClock.run(run())
