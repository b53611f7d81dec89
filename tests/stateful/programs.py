"""What the programs do that a state machine runs: well-behaved, badly behaved, and against a failing board."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from belay_py.testing import (
    Answer,
    Forever,
    HardReset,
    Instead,
    Lose,
    Pause,
    Raise,
    Read,
    Silence,
    SoftReset,
    Step,
    StopReading,
    SwallowInterrupts,
)

# Pieces that end a response, or look like it, among ordinary ones.
_FORGERIES = [
    b"\x04",
    b"\x04\x04>",
    b"\x04>",
    b">",
    b"OK",
    b"\x01",
    b"\r\n",
    b"R\x01\x80\x00\x01\x04",
    b"raw REPL; CTRL-B to exit\r\n>",
    b"\x04\x04MPY: soft reboot\r\n",
    b"\x04Traceback (most recent call last):\r\n",
    b"KeyError: x\r\n\x04>",
    b"information.\r\n>>> ",
    b"_q(b'ab')ab",
    b"x" * 200,
]
OUTPUT = st.lists(st.one_of(st.sampled_from(_FORGERIES), st.binary(max_size=20)), max_size=6).map(b"".join)
PAUSES = st.sampled_from([0.0, 0.01, 0.3, 1.0, 4.0])

Program = Callable[[], Answer]


def _slow(pieces: list[bytes], pause: float) -> Program:
    def steps() -> Iterator[Step]:
        for piece in pieces:
            yield piece
            yield Pause(pause)

    return steps


WELL_BEHAVED: st.SearchStrategy[Program] = st.one_of(
    OUTPUT.map(lambda output: lambda: output),
    st.builds(_slow, st.lists(OUTPUT, max_size=4), PAUSES),
    OUTPUT.map(lambda output: lambda: (output, Raise("ValueError", "bad"))),
    st.builds(lambda first, last: lambda: (first, Read(), last), OUTPUT, OUTPUT),
)
STUBBORN: st.SearchStrategy[Program] = st.one_of(
    st.just(Forever),
    st.just(lambda: Forever(b"again\r\n", 0.1)),
    st.just(lambda: (SwallowInterrupts(2), Forever(b"again\r\n", 0.1))),
    st.just(lambda: (SwallowInterrupts(), Forever())),
    st.just(lambda: (SwallowInterrupts(), Pause(4), b"late")),
)
RESTARTING: st.SearchStrategy[Program] = st.one_of(
    OUTPUT.map(lambda output: lambda: (output, SoftReset())),
    OUTPUT.map(lambda output: lambda: (output, HardReset())),
)
FAILING: st.SearchStrategy[Program] = st.one_of(
    OUTPUT.map(lambda output: lambda: (output, Lose("pulled"), Pause(0.5))),
    OUTPUT.map(lambda output: lambda: (output, Silence())),
    OUTPUT.map(lambda output: lambda: Instead(output)),
    OUTPUT.map(lambda output: lambda: (output, StopReading(), Pause(0.5))),
)
ANY: st.SearchStrategy[Program] = st.one_of(WELL_BEHAVED, WELL_BEHAVED, STUBBORN, RESTARTING, FAILING)
