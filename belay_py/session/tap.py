"""Messages of the board taken out of the bytes that come from it: bytes in, those that are no message's out.

`session.sender` has the form. No program knows the nonce, so what looks like a message and is printed is output. What
disturbs a message is noticed: a print in the middle of it is put beside it where the checksum tells which bytes are
whose, else the message is damaged. It is never a wrong one.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from belay_py.session.sender import BEGIN, END

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = re.compile(rb"([0-9a-f]{1,8}),([0-9a-f]{1,8}),([0-9a-f]{1,16}),([0-9a-f]{0,8}):")
_LONGEST_HEADER: Final = 48
# Below 0x05 is what the REPL itself says: credits, ends. A message that is not over by then never will be.
_STOP = re.compile(rb"[\x00-\x04\x1e\x1f]")
_CONTROL = re.compile(rb"[\x00-\x1f]")
# What else it says, to be looked for once something has disturbed a message: the board was reset in the middle of it.
_REPLS_WORDS = rb"raw REPL; CTRL-B|>>> |(?:MPY: )?soft reboot\r|MicroPython v"
_REPLS_OWN = re.compile(_REPLS_WORDS)
_NO_MESSAGES = re.compile(rb"R[\x00\x01]|" + _REPLS_WORDS + rb"|[\x00-\x1f]")
_LONGEST_WORD: Final = 20
_LONGEST_INSERT: Final = 4096
"""Bytes that may stand inside a message before it is given up."""
_LONGEST_SEARCHED: Final = 2048
"""Bytes of a message in which the place of an insert is looked for: that takes the square of it."""


class Frame(NamedTuple):
    """A message as it was sent: its number, and topic and value in the encoder's form."""

    number: int
    topic: bytes
    value: bytes


class Tap:
    """Takes one connection's bytes. ``deliver`` gets messages, ``damaged`` what was one; both as they come."""

    def __init__(self, nonce: str, deliver: Callable[[Frame], None], damaged: Callable[[bytes], None]) -> None:
        self._deliver = deliver
        self._damaged = damaged
        self._start = BEGIN + nonce.encode()
        self._held = bytearray()
        self._begin_anew()

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return, in order, those that are no message's."""
        if not self._held and self._start not in data:
            tail = self._begun(data)
            if not tail:
                return data
            self._held += data[len(data) - tail :]
            return data[: len(data) - tail]
        self._held += data
        return self._sift()

    def flush(self) -> bytes:
        """Return what is held back, and was no message: nothing that belongs to it will come."""
        held, self._held = bytes(self._held), bytearray()
        self._begin_anew()
        return self._spilt(held[len(self._start) :]) if held.startswith(self._start) else held

    # -- internals ----------------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """What is held from now on begins with another message. A long one comes in thousands of pieces."""
        self._searched = len(self._start)
        """Held bytes in which no stop is."""
        self._disturbed = False
        """Whether there is a control character in `_listened` bytes, so that the REPL's own words are looked for."""
        self._listened = len(self._start)

    def _begun(self, data: bytes | bytearray) -> int:
        """How many bytes at the end may be the beginning of a message's start."""
        at = data.rfind(BEGIN, max(0, len(data) - len(self._start) + 1))
        return len(data) - at if at >= 0 and self._start.startswith(data[at:]) else 0

    def _sift(self) -> bytes:
        held, start = self._held, self._start
        out = bytearray()
        while held:
            if not held.startswith(start):
                at = held.find(start)
                if at < 0:
                    at = len(held) - self._begun(held)
                out += held[:at]
                del held[:at]
                self._begin_anew()
                if not held.startswith(start):
                    break
            count, passed = self._take()
            if not count:
                break
            del held[:count]
            out += passed
            self._begin_anew()
        return bytes(out)

    def _take(self) -> tuple[int, bytes]:
        """Look at a message that has begun; return how many held bytes are dealt with, and what passes of them."""
        held, start = self._held, len(self._start)
        for stop in _STOP.finditer(held, self._searched):
            at = stop.start()
            following = bytes(held[at : at + start])
            if following[:1] == END:
                return at + 1, self._read(bytes(held[start:at]))
            if following[:1] == BEGIN and not self._start.startswith(following):
                continue  # a program printed it
            if following[:1] == BEGIN and len(following) < start:
                self._searched = at
                return 0, b""
            # An R before it may be that of an answer, which nobody can do without.
            kept = at - (following[:1] in b"\x00\x01" and held[at - 1 : at] == b"R" and at > start)
            return kept, self._spilt(bytes(held[start:kept]), _NO_MESSAGES)
        self._searched = len(held)
        return (len(held), self._spilt(bytes(held[start:]), _NO_MESSAGES)) if self._is_over() else (0, b"")

    def _is_over(self) -> bool:
        """Whether a message that has begun can be given up."""
        header = _HEADER.match(self._held, len(self._start))
        size = int(header[1], 16) if header else 0
        if len(self._held) > len(self._start) + _LONGEST_HEADER + size + _LONGEST_INSERT:
            return True
        listened, self._listened = self._listened, len(self._held)
        if self._disturbed:
            listened = max(len(self._start), listened - _LONGEST_WORD)
        elif _CONTROL.search(self._held, listened) is None:
            return False
        else:
            self._disturbed, listened = True, len(self._start)
        return _REPLS_OWN.search(self._held, listened) is not None

    def _read(self, content: bytes) -> bytes:
        """Deliver a message; return what stood inside it and is not its own."""
        header = _HEADER.match(content)
        if header is None:
            return self._spilt(content)
        size, topic, number = (int(header[part], 16) for part in (1, 2, 3))
        body = content[header.end() :]
        checksum = int(header[4], 16) if header[4] else None
        found = _without_insert(body, size, number, checksum)
        if found is None:
            return self._spilt(content)
        body, insert = found
        self._deliver(Frame(number, body[:topic], body[topic:]))
        return insert

    def _spilt(self, content: bytes, foreign_from: re.Pattern[bytes] = _CONTROL) -> bytes:
        """Give up a message; return what in it begins with what messages do not have."""
        self._damaged(content)
        foreign = foreign_from.search(content)
        return content[foreign.start() :] if foreign else b""


def _without_insert(body: bytes, size: int, number: int, checksum: int | None) -> tuple[bytes, bytes] | None:
    """Return a message's content, and what was printed into it; None where that cannot be told."""

    def fits(content: bytes) -> bool:
        return checksum is None or zlib.crc32(content, number & 0xFFFFFFFF) == checksum

    extra = len(body) - size
    if extra == 0:
        return (body, b"") if fits(body) and not _CONTROL.search(body) else None
    if extra < 0 or checksum is None or size > _LONGEST_SEARCHED:
        return None
    inserts = [
        (body[:at] + body[at + extra :], body[at : at + extra])
        for at in range(size + 1)
        if fits(body[:at] + body[at + extra :])
    ]
    # Where the message repeats what the insert begins with, several places fit; prints end with their line.
    return max(inserts, key=lambda insert: insert[1].endswith(b"\n"), default=None)
