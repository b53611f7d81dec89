"""Messages taken out of the bytes of a board: however these are split, and whatever stands beside or inside them."""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from belay_py.session import tap
from belay_py.session.tap import Frame, Tap

if TYPE_CHECKING:
    import re

NONCE = "Zm9vYmFyLV8"
START = b"\x1e" + NONCE.encode()


class Listener:
    """What a tap has delivered, and what it called damaged."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.damaged: list[bytes] = []
        self.tap = Tap(NONCE, self.frames.append, self.damaged.append)

    def hear(self, *pieces: bytes) -> bytes:
        return b"".join(map(self.tap.feed, pieces))


def framed(frame: Frame, *, checked: bool = True) -> bytes:
    body = frame.topic + frame.value
    checksum = b"%x" % zlib.crc32(body, frame.number) if checked else b""
    return START + b"%x,%x,%x,%s:%s\x1f" % (len(body), len(frame.topic), frame.number, checksum, body)


TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=30).map(str.encode)
FRAMES = st.builds(Frame, st.integers(0, 2**40), TEXT, TEXT)
OUTPUT = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([b"\x1e", b"\x1f", START[:5], b"\x1e\x1e", b"\x1eZm9vYmFyLV7", b"5,0,0,:'ab'\x1f", b"\x04\x04>"]),
).filter(lambda data: START not in data)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


@given(st.lists(st.tuples(OUTPUT, FRAMES)), OUTPUT, st.lists(st.integers(0, 2000)))
def test_messages_come_out_and_the_rest_stays_however_it_is_split(
    parts: list[tuple[bytes, Frame]], last: bytes, places: list[int]
) -> None:
    whole = b"".join(output + framed(frame) for output, frame in parts) + last
    listener = Listener()
    heard = listener.hear(*cut(whole, places)) + listener.tap.flush()
    assert heard == b"".join(output for output, _ in parts) + last
    assert listener.frames == [frame for _, frame in parts]
    assert not listener.damaged


def test_cut_at_every_byte() -> None:
    frames = [Frame(0, b"'topic'", b"[1,]"), Frame(1, b"", b"'\xc3\xa9'")]
    whole = b"a\x1e" + framed(frames[0]) + framed(frames[1], checked=False) + b"\r\n\x04\x04>"
    for first in range(len(whole)):
        for second in range(first, len(whole)):
            listener = Listener()
            assert listener.hear(whole[:first], whole[first:second], whole[second:]) == b"a\x1e\r\n\x04\x04>"
            assert listener.frames == frames


@given(FRAMES, st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "replace")), st.data())
def test_a_print_inside_of_a_message_is_put_beside_it(frame: Frame, printed: bytes, data: st.DataObject) -> None:
    if any(byte < 0x20 for byte in printed):
        printed = b"printed"
    printed += b"\r\n"
    whole = framed(frame)
    at = data.draw(st.integers(whole.index(b":") + 1, len(whole) - 1))
    listener = Listener()
    heard = listener.hear(b"before", whole[:at], printed, whole[at:], b"after")
    assert heard == b"before" + printed + b"after"
    assert listener.frames == [frame]


@given(FRAMES, st.binary(min_size=1, max_size=20), st.data())
def test_a_damaged_message_is_never_a_wrong_one(frame: Frame, noise: bytes, data: st.DataObject) -> None:
    whole = framed(frame)
    at = data.draw(st.integers(0, len(whole)))
    gone = data.draw(st.integers(0, 5))
    listener = Listener()
    listener.hear(whole[:at], noise, whole[at + gone :])
    assert listener.frames in ([], [frame])
    assert listener.hear(framed(frame._replace(number=7)) * 2, b"\x04")  # and it finds the way back
    assert Frame(7, *frame[1:]) in listener.frames


@pytest.mark.parametrize("end", [b"\x04Traceback (most\r\n", b"\x01\x01", b"R\x01\x80\x00\x01", b"R\x00>OK\x04"])
def test_what_the_repl_says_is_never_held_back(end: bytes) -> None:
    whole = framed(Frame(0, b"", b"'abc'"))
    for at in range(len(START), len(whole)):
        listener = Listener()
        assert listener.hear(whole[:at], end) == end
        assert listener.hear(b"on") == b"on"
        assert not listener.frames
        assert len(listener.damaged) == 1


def test_a_board_that_was_reset_in_the_middle_is_heard() -> None:
    for boot in b"MPY: soft reboot\r\nMicroPython v1.29\r\n", b"raw REPL; CTRL-B to exit\r\n>OK", b"\r\n>>> ":
        listener = Listener()
        assert listener.hear(framed(Frame(0, b"", b"'abc'"))[:-3], boot[:9], boot[9:]) == boot
        assert len(listener.damaged) == 1


def test_a_message_without_end_is_given_up() -> None:
    listener = Listener()
    assert len(listener.hear(START + b"5,0,0,:", b"\r\n" + b"x" * 10_000)) >= 4000
    assert listener.damaged
    assert listener.hear(b"on") == b"on"


def test_half_a_message_and_then_a_whole_one() -> None:
    frame = Frame(1, b"", b"5,")
    listener = Listener()
    assert listener.hear(framed(Frame(0, b"", b"4,"))[:-2], framed(frame), b"on") == b"on"
    assert listener.frames == [frame]
    assert len(listener.damaged) == 1


def test_a_long_message_in_small_pieces() -> None:
    frame = Frame(0, b"", b"'" + b"x" * 200_000 + b"'")
    whole = framed(frame)
    listener = Listener()
    assert listener.hear(*(whole[at : at + 64] for at in range(0, len(whole), 64))) == b""
    assert listener.frames == [frame]


class Counting:
    """A pattern, and how many bytes it was let loose on."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.bytes = 0

    def search(self, data: bytearray, at: int = 0) -> re.Match[bytes] | None:
        self.bytes += max(0, len(data) - at)
        return self._pattern.search(data, at)


@pytest.mark.parametrize("inside", [b"", b"a thread's\r\n"], ids=["whole", "disturbed"])
@pytest.mark.parametrize("piece", [1, 64, 4096])
def test_each_byte_of_a_long_message_is_looked_at_a_few_times(
    inside: bytes, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns = [Counting(tap._CONTROL), Counting(tap._REPLS_OWN)]
    monkeypatch.setattr(tap, "_CONTROL", patterns[0])
    monkeypatch.setattr(tap, "_REPLS_OWN", patterns[1])
    whole = framed(Frame(0, b"", b"'" + b"x" * 20_000 + b"'"))
    whole = whole[:50] + inside + whole[50:]
    listener = Listener()
    listener.hear(*(whole[at : at + piece] for at in range(0, len(whole), piece)))
    assert len(listener.frames) + len(listener.damaged) == 1
    again = 1 + tap._LONGEST_WORD / piece
    assert sum(pattern.bytes for pattern in patterns) < (3 + again) * len(whole)


@pytest.mark.parametrize("word", [b"raw REPL; CTRL-B to exit", b"MPY: soft reboot\r\n", b"MicroPython v1.29"])
def test_what_the_repl_says_after_a_reset_is_heard_in_pieces_too(word: bytes) -> None:
    half = framed(Frame(0, b"", b"'" + b"x" * 5000 + b"'"))[:1000]
    for before in (b"\r\n", b"\r\nOK", b""):
        for pieces in (1, 7, 64):
            listener = Listener()
            data = half + before + word + b"\r\n>"
            heard = listener.hear(*(data[at : at + pieces] for at in range(0, len(data), pieces)))
            assert heard.endswith(b"\r\n>")
            assert len(listener.damaged) == 1


def test_what_is_held_back_comes_out_at_the_end() -> None:
    listener = Listener()
    assert listener.hear(b"ab\x1e") == b"ab"
    assert listener.tap.flush() == b"\x1e"
    assert listener.tap.flush() == b""
