"""Responses that no recording holds: of boards without memory, and of boards on which a timer prints."""

from __future__ import annotations

import pytest

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
