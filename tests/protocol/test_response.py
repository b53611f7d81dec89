"""Responses that no recording holds: of boards without memory, and of boards on which a timer prints."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py.protocol.response import MarkedResponse

HEADER = b"R\x01\x80\x00\x01"
FENCED = HEADER + b"\x04\x04Traceback (most recent call last):\r\nKeyError: nonce\r\n\x04>"
STARVED = HEADER + b"\x04\x04MemoryError: memory allocation failed, allocating 116 byte\r\n\x04>"
TIMER = b"timer\r\n"


def converse(response: bytes, reply: bytes, *, pieces: bool) -> tuple[bytes, bytes]:
    """Let a board say the response and, once it is asked, the fence's reply; return output and traceback."""
    marked = MarkedResponse("ab", "nonce")
    rest = None
    for data in (response, reply):
        assert rest is None, "nothing is over before the fence's reply"
        for piece in [data[i : i + 1] for i in range(len(data))] if pieces else [data]:
            rest = marked.receive(piece)
        assert marked.doubtful
    assert rest == b""
    assert marked.boot_output is None
    return marked.take_output(), marked.traceback


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(
    ("response", "output", "traceback"),
    [
        (b"\x04MemoryError: \r\n\x04>", b"", b"MemoryError: \r\n"),
        (b"on\x04Traceback\r\nMemoryError: \r\n\x04>", b"on", b"Traceback\r\nMemoryError: \r\n"),
        (b"\x04\x04>on\x04MemoryError: \r\n\x04>", b"\x04\x04>on", b"MemoryError: \r\n"),
        (b"MemoryError\x04Traceback\r\nStop: \r\n\x04>", b"MemoryError", b"Traceback\r\nStop: \r\n"),
    ],
)
def test_a_board_without_memory_for_the_fence(
    response: bytes, output: bytes, traceback: bytes, *, pieces: bool
) -> None:
    assert converse(response, STARVED, pieces=pieces) == (output, traceback)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("behind", [b"", TIMER])
@pytest.mark.parametrize("place", range(4))
def test_a_timer_that_prints_between_the_marker_and_the_end(place: int, behind: bytes, *, pieces: bool) -> None:
    places = [len(HEADER), len(HEADER) + 1, FENCED.index(b"\x04>"), len(FENCED)]
    at = places[place]
    reply = FENCED[:at] + TIMER * (at < len(FENCED)) + FENCED[at:]
    assert converse(b"outab" + TIMER + b"\x04\x04>" + behind, reply, pieces=pieces) == (b"out" + TIMER, b"")


@pytest.mark.parametrize("reply", [FENCED, STARVED])
def test_output_that_imitates_the_reply_before_it_was_asked_for_is_output(reply: bytes) -> None:
    response = STARVED + b"\x04Traceback\r\nValueError: real\r\n\x04>"
    assert converse(response, reply, pieces=False) == (STARVED, b"Traceback\r\nValueError: real\r\n")


STOPPED = b"out\x04\x04>more\x04Traceback (most recent call last):\r\nKeyboardInterrupt: \r\n\x04>"
SECOND = FENCED.replace(b"nonce", b"other")


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("first_was_cleared", [False, True])
def test_with_several_fences_the_response_ends_at_the_last_ones_reply(*, first_was_cleared: bool, pieces: bool) -> None:
    marked = MarkedResponse("ab", "nonce")
    assert marked.receive(STOPPED[:8]) is None
    assert marked.doubtful
    assert marked.fence_again("other") == b"\x05A\x01{}['other']\x04"
    data = STOPPED[8:] + (b"" if first_was_cleared else FENCED) + SECOND + b"next"
    rest = None
    for count, piece in enumerate([data[i : i + 1] for i in range(len(data))] if pieces else [data]):
        rest = marked.receive(piece)
        if rest is not None:
            assert not pieces or count == len(data) - len(b"next") - 1
            break
    assert rest == (b"" if pieces else b"next")
    assert marked.take_output() == b"out\x04\x04>more"
    assert b"KeyboardInterrupt" in marked.traceback


def test_with_several_fences_a_board_without_memory_is_for_the_handshake() -> None:
    marked = MarkedResponse("ab", "nonce")
    marked.receive(b"\x04\x04>")
    marked.fence_again("other")
    assert marked.receive(STARVED + STARVED) is None


BANNER = b"raw REPL; CTRL-B to exit\r\n>"
RAISED = b"\x04Traceback (most recent call last):\r\n"
LOST = {
    "interrupted": HEADER + b"\x04" + RAISED + b'  File "<stdin>", line 1\r\nKeyboardInterrupt: \r\n\x04>',
    "run into the next one": HEADER + b"\x04" + RAISED + b'  File "<stdin>", line 1\r\nSyntaxError: \r\n\x04>',
    "starved": STARVED,
    "cleared": b"",
}
STARTED_AGAIN = b"\x04\x04MPY: soft reboot\r\nboot\r\n" + BANNER
GREETING = b'MicroPython v1.29.0 on 2026-01-01; virtual\r\nType "help()" for more information.\r\n>>> '


def banners_of(fence: bytes) -> bytes:
    """What a board answers to the Ctrl-A before a fence."""
    return BANNER * (len(fence) - len(fence.lstrip(b"\x01")))


@pytest.mark.parametrize("restarted", [False, True])
@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(list(LOST)), min_size=1, max_size=5),
    st.sampled_from([b"", b"MemoryError", b"\x04\x04MPY: soft reboot\r\n", b"\x04>" + BANNER, b"x" + HEADER + b"\x04"]),
    st.booleans(),
)
def test_replies_to_fences_that_were_lost_are_no_part_of_the_response(
    restarted: bool, lost: list[str], output: bytes, starved: bool
) -> None:
    marked = MarkedResponse("ab", "first")
    traceback = RAISED[1:] + b'  File "<stdin>", line 2\r\nKeyboardInterrupt: \r\n'
    marked.receive(b"\x04\x04>")
    marked.receive(output + (STARTED_AGAIN if restarted else b"\x04" + traceback + b"\x04>"))
    fence = marked.fence
    for number, fate in enumerate(lost):
        another = marked.fence_again(f"again{number}")  # before the reply to the one before comes
        assert marked.receive(LOST[fate] and banners_of(fence) + LOST[fate]) is None
        fence = another
    if not (starved and fence.startswith(b"\x01")):
        nonce = fence[fence.index(b"'") + 1 : fence.rindex(b"'")]
        assert marked.receive(banners_of(fence) + FENCED.replace(b"nonce", nonce) + b"next") == b"next"
    else:
        assert marked.receive(banners_of(fence) + STARVED + b"next") == b"next"
    ended = (b"", b"MPY: soft reboot\r\nboot\r\n") if restarted else (traceback, None)
    assert (marked.traceback, marked.boot_output) == ended
    assert marked.take_output() == b"\x04\x04>" + output


def test_a_hard_reset_is_seen_where_the_ctrl_a_before_a_fence_has_left_the_friendly_prompt() -> None:
    marked = MarkedResponse("ab", "first")
    marked.receive(b"out\x04\x04>")
    marked.receive(b"MemoryError: caught\r\n" + GREETING)
    again = marked.fence_again("again")
    rest = marked.receive(b"\r\n>>> " + banners_of(again) + FENCED.replace(b"nonce", b"again") + b"next")
    assert rest == b"next"
    assert marked.take_output() == b"out\x04\x04>MemoryError: caught\r\n"
    assert marked.boot_output == GREETING


def test_a_program_that_forges_an_end_and_talks_of_memory_is_not_looked_through_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    look = MarkedResponse._find_fence_replies

    def counted(marked: MarkedResponse, whole: bytes) -> tuple[int, int] | None:
        nonlocal looks
        looks += 1
        return look(marked, whole)

    monkeypatch.setattr(MarkedResponse, "_find_fence_replies", counted)
    marked = MarkedResponse("ab", "nonce")
    marked.receive(b"out\x04\x04>")
    for _ in range(100):
        assert marked.receive(b"MemoryError: none\r\n" * 10) is None
    assert looks <= 1  # the first piece stands near the forged end
    assert marked.receive(b"ab\x04\x04>" + FENCED) == b""
