"""Conversations recorded from real boards (`record.py`), replayed to `RawRepl` cut at every byte.

The board's bytes are the recorded ones. What the host sends may differ from the recording, which was made with the
documented handshakes; it is checked against the protocol's rules instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py.errors import ProtocolViolation
from belay_py.protocol import BoardReset, Event, Finished, Output, RawRepl, Ready, ReplState

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
HERE = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Recording:
    """One file of `recordings`, with bytes as bytes."""

    name: str
    scenario: str
    start: str
    end: str
    way: str | None
    window: int
    code: bytes
    output: bytes
    traceback: bytes
    aborted: bool
    reset: str | None
    answers: tuple[bytes, ...]
    """What the board sent, one entry for each time that the host had sent something before."""

    @property
    def board(self) -> bytes:
        """Everything the board sent."""
        return b"".join(self.answers)

    @classmethod
    def load(cls, path: Path) -> Recording:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            name=path.stem,
            scenario=raw["scenario"],
            start=raw["start"],
            end=raw["end"],
            way=raw["way"],
            window=raw["window"] or 0,
            code=(raw["code"] or "").encode("latin-1"),
            output=(raw["output"] or "").encode("latin-1"),
            traceback=(raw["traceback"] or "").encode("latin-1"),
            aborted=raw["aborted"],
            reset=raw["reset"],
            answers=tuple(text.encode("latin-1") for who, text in raw["exchange"] if who == "board"),
        )


RECORDINGS = [Recording.load(path) for path in sorted(HERE.glob("*.json"))]


def named(recordings: list[Recording]) -> list[object]:
    return [pytest.param(recording, id=recording.name) for recording in recordings]


# A program that prints \x04 ends its response in plain framing, whoever listens: the marker of "exact results" is for
# that. A second request written ahead of the first answer is something that RawRepl never does.
EXECUTIONS = [
    r
    for r in RECORDINGS
    if r.way in ("raw-paste", "one-write", "plain")
    and r.start == r.end == "raw"
    and r.reset != "hard"
    and b"\x04" not in r.output
    and r.scenario
    not in ("one_write_twice", "interrupt_too_late", "input_from_host", "plain_interrupted_while_sending")
]
ENTRIES = [r for r in RECORDINGS if r.scenario.startswith("enter_")]
SOFT_RESETS = [r for r in RECORDINGS if r.scenario == "soft_reset" and r.reset == "soft" and r.end == "raw"]
FRIENDLY = [r for r in RECORDINGS if r.scenario == "one_write_at_the_friendly_prompt"]


def test_there_are_recordings_of_every_kind() -> None:
    assert len(EXECUTIONS) > 60
    assert len(ENTRIES) >= 20
    assert len(SOFT_RESETS) >= 3
    assert len(FRIENDLY) >= 3
    assert {"raw-paste", "one-write", "plain"} <= {r.way for r in EXECUTIONS}
    assert any(r.aborted for r in EXECUTIONS)
    assert any(r.reset == "soft" for r in EXECUTIONS)


def answer(nonce: str, window: int) -> bytes:
    """The answer of a board with this window to a handshake; 0 is one without raw-paste."""
    head = b"R\x01" + window.to_bytes(2, "little") + b"\x01\x04" if window else RAW_BANNER + b"OK"
    return head + nonce.encode() + b"\r\n\x04\x04>"


def ready(window: int) -> RawRepl:
    repl = RawRepl()
    repl.enter("abcdef")
    repl.data_to_send()
    repl.receive_data(answer("abcdef", window))
    assert isinstance(repl.next_event(), Ready)
    return repl


def events_of(repl: RawRepl) -> list[Event]:
    events: list[Event] = []
    while (event := repl.next_event()) is not None:
        events.append(event)
    return events


def conversation(recording: Recording) -> tuple[int, list[bytes]]:
    """The window to assume, and what the board answers to RawRepl, which asks for raw-paste every time.

    Where the recording sent plain code, a refusal is put in front.
    """
    board = recording.board
    answers = list(recording.answers)
    if board.startswith(b"R\x01"):
        return int.from_bytes(board[2:4], "little"), answers
    return 0, answers if board.startswith((b"R\x00>", b"raw REPL")) else [b"R\x00>", *answers]


def cut(answers: list[bytes], positions: set[int]) -> list[bytes]:
    """Cut the conversation at these offsets, and between answers: a board does not answer what was not yet asked."""
    start = 0
    ends = set(positions)
    for answer_ in answers:
        start += len(answer_)
        ends.add(start)
    whole = b"".join(answers)
    borders = sorted({0, *ends})
    return [whole[a:b] for a, b in pairwise(borders) if a < b]


def replay(recording: Recording, pieces: list[bytes], *, stream: bool) -> None:
    window, _ = conversation(recording)
    repl = ready(window)
    repl.submit(recording.code, stream=stream)
    sent = repl.data_to_send()
    granted = 2 * window
    for piece in pieces:
        uploading = repl.state in (ReplState.HEADER, ReplState.UPLOADING)
        repl.receive_data(piece)
        if uploading and window:
            granted += window * piece.count(b"\x01")
        sent += repl.data_to_send()
        if window:
            assert len(sent) - len(b"\x05A\x01") <= granted + 1, "more was sent than the board had room for"
        while repl.waits_for_time:
            repl.release_chunk()
            sent += repl.data_to_send()
    events = events_of(repl)
    streamed = b"".join(event.data for event in events if isinstance(event, Output))
    assert bool(streamed) <= stream
    last = events[-1]
    if recording.reset:
        assert isinstance(last, BoardReset)
        assert streamed + last.output == recording.output
        assert b"soft reboot" in last.boot_output
        assert repl.state is ReplState.UNKNOWN
    else:
        assert isinstance(last, Finished)
        assert streamed + last.output == recording.output
        assert last.traceback == recording.traceback
        assert repl.state is ReplState.READY
    assert sent.startswith(b"\x05A\x01")
    assert sent.count(b"\x04") == 1, "exactly one end, whether acknowledged or aborted"
    body = sent.removeprefix(b"\x05A\x01").removesuffix(b"\x04")
    assert (recording.code or b"pass").startswith(body)
    if not recording.aborted and "interrupt_raw_paste" not in recording.name:
        assert body == (recording.code or b"pass")


@pytest.mark.parametrize("recording", named(EXECUTIONS))
def test_an_execution_cut_at_every_byte(recording: Recording) -> None:
    _, answers = conversation(recording)
    length = len(b"".join(answers))
    for stream in (False, True):
        replay(recording, cut(answers, set(range(length))), stream=stream)
        for position in range(length):
            replay(recording, cut(answers, {position}), stream=stream)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_an_execution_in_any_pieces(data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(EXECUTIONS))
    _, answers = conversation(recording)
    positions = data.draw(st.sets(st.integers(0, len(b"".join(answers)) - 1), max_size=12))
    replay(recording, cut(answers, positions), stream=data.draw(st.booleans()))


@pytest.mark.parametrize("recording", named(ENTRIES))
def test_nothing_that_a_board_says_on_entering_is_taken_for_the_answer(recording: Recording) -> None:
    for position in range(len(recording.board)):
        repl = RawRepl()
        repl.enter("0011aa")
        for piece in cut([recording.board], {position}):
            repl.receive_data(piece)
        assert repl.next_event() is None
        assert repl.state is ReplState.ENTERING
        repl.enter("2233bb")
        repl.receive_data(answer("0011aa", 128))
        assert repl.next_event() is None, "only the latest attempt counts"
        repl.receive_data(answer("2233bb", 32))
        event = repl.next_event()
        assert isinstance(event, Ready)
        assert event.features.window == 32
        assert event.discarded == recording.board + answer("0011aa", 128)


@pytest.mark.parametrize("recording", named(SOFT_RESETS))
def test_a_soft_reset_cut_at_every_byte(recording: Recording) -> None:
    for position in range(len(recording.board)):
        repl = ready(128)
        repl.soft_reset()
        assert repl.data_to_send() == b"\x04"
        for piece in cut([recording.board], {position}):
            repl.receive_data(piece)
        (event,) = events_of(repl)
        assert isinstance(event, BoardReset)
        assert b"soft reboot" in event.boot_output


@pytest.mark.parametrize("recording", named(FRIENDLY))
def test_code_sent_to_a_friendly_prompt_is_noticed_and_had_not_run(recording: Recording) -> None:
    assert recording.output == b""
    for position in range(len(recording.board)):
        repl = ready(128)
        repl.submit(recording.code)
        with pytest.raises(ProtocolViolation, match="friendly prompt"):  # noqa: PT012  at either piece
            for piece in cut([recording.board], {position}):
                repl.receive_data(piece)
        assert repl.state is ReplState.UNKNOWN
