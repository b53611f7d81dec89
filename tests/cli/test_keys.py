"""What a terminal sends, taken apart however it was split."""

from __future__ import annotations

import pytest

from belay_py.cli.keys import Interrupted, Key, Keys, Left, Pasted, Typed

START, END = b"\x1b[200~", b"\x1b[201~"

SEQUENCES: list[tuple[bytes, list[Key]]] = [
    (b"abc\r", [Typed(b"abc\r")]),
    (b"\x1b[A\x1b[20~\x04\x05", [Typed(b"\x1b[A\x1b[20~\x04\x05")]),
    (b"ab\x03cd", [Typed(b"ab"), Interrupted(), Typed(b"cd")]),
    (b"ab\x18cd", [Typed(b"ab"), Left()]),
    (b"\x1d", [Left()]),
    (b"a" + START + b"x\r\ny\nz\r" + END + b"b", [Typed(b"a"), Pasted(b"x\ry\rz\r"), Typed(b"b")]),
    (START + b"\x03\x04\x18\x1d\x1b[A\tgr\xc3\xbc" + END, [Pasted(b"[A\tgr\xc3\xbc")]),
    (START + END + b"\x03", [Pasted(b""), Interrupted()]),
    (START + b"1" + END + START + b"2" + END, [Pasted(b"1"), Pasted(b"2")]),
]


def joined(keys: list[Key]) -> list[Key]:
    """Keys that were typed one after the other are the same as all at once."""
    found: list[Key] = []
    for key in keys:
        if isinstance(key, Typed) and found and isinstance(found[-1], Typed):
            found[-1] = Typed(found[-1].data + key.data)
        else:
            found.append(key)
    return found


@pytest.mark.parametrize(("sent", "done"), SEQUENCES)
def test_every_way_to_split_it_in_three(sent: bytes, done: list[Key]) -> None:
    # A terminal sends the brackets in one piece; only after a lone Escape, which is a key, nothing is held back.
    apart = [i for i in range(len(sent) + 1) if not sent[:i].endswith(b"\x1b")]
    for first in apart:
        for second in (i for i in apart if i >= first):
            keys = Keys()
            found: list[Key] = []
            pieces = (sent[:first], sent[first:second], sent[second:])
            if START + b"\x03" in sent and any(piece and not piece.strip(b"\x03\x18\x1d") for piece in pieces):
                continue  # alone they are keys, below
            for piece in pieces:
                if Left() not in found:
                    found += keys.receive(piece)
            assert joined(found) == done


@pytest.mark.parametrize(
    ("key", "done"), [(b"\x03", Interrupted()), (b"\x18", Left()), (b"\x1d", Left()), (b"\x18\x18", Left())]
)
def test_a_paste_without_an_end_locks_nobody_in(key: bytes, done: Key) -> None:
    keys = Keys()
    assert keys.receive(START + b"half a paste\x1b[20") == []
    assert keys.receive(key) == [done]
    assert keys._paste is None


def test_escape_is_a_key_of_its_own() -> None:
    keys = Keys()
    assert keys.receive(b"\x1b") == [Typed(b"\x1b")]
    assert keys.receive(b"a") == [Typed(b"a")]
