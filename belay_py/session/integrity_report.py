"""What comes back of code that was sent with a checksum: its output, and the board's report about it."""

from __future__ import annotations

import binascii
import re
import zlib
from typing import TYPE_CHECKING, NamedTuple

from belay_py.session.integrity_code import SEED, without_our_frame

if TYPE_CHECKING:
    from collections.abc import Callable

_MARKER = 4  # characters of a nonce that end a response; see `RawRepl.submit`
_CHECKSUM = 8  # digits
_PROMPT = b"\x04\x04>"
_ENDED = re.compile(rb"([0-9a-f]+),([0-9a-f]+),([A-Za-z0-9+/=]*)")
_CHECKED = re.compile(rb"([^:]*):([0-9a-f]{8})")


class Report(NamedTuple):
    """How code ended: the bytes of its output, their CRC-32, and the traceback."""

    length: int
    checksum: int
    traceback: bytes


class Receipt:
    """Takes what one line is answered, apart into output and report. ``sink`` gets the output as it comes."""

    def __init__(self, nonce: str, sink: Callable[[bytes], None] | None = None) -> None:
        self._key = nonce[_MARKER:].encode() + b":"
        self._marker = nonce[:_MARKER].encode()
        self._sink = sink
        self._pieces: list[bytes] = []
        self.length = 0
        """Bytes that were taken for output."""
        self._checksum = 0
        self._held = b""
        self._report: bytearray | None = None

    def take(self, data: bytes) -> bool:
        """Take bytes; return whether the whole report is there and undamaged."""
        if self._report is None:
            data = self._held + data
            start = data.find(self._key)
            if start < 0:
                key = self._key
                held = next((count for count in range(len(key) - 1, 0, -1) if data.endswith(key[:count])), 0)
                self._held = data[len(data) - held :]
                self._pass_on(data[: len(data) - held])
                return False
            self._held = b""
            self._pass_on(data[:start])
            data, self._report = data[start:], bytearray()
        self._report += data
        return self.body() is not None

    def _pass_on(self, data: bytes) -> None:
        if not data:
            return
        self.length += len(data)
        self._checksum = zlib.crc32(data, self._checksum)
        if self._sink is None:
            self._pieces.append(data)
        else:
            self._sink(data)

    def body(self) -> bytes | None:
        """Return what the report says, or None as long as it is not there undamaged."""
        if self._report is None:
            return None
        found = _CHECKED.match(self._report, len(self._key))
        if found is None or zlib.crc32(self._report[: found.end(1)], SEED) != int(found[2], 16):
            return None
        return found[1]

    @property
    def output(self) -> bytes:
        """What came before the report, checked or not; nothing of what a sink was given."""
        return b"".join(self._pieces)

    def result(self, told: bytes | None = None) -> tuple[bytes, bytes] | None:
        """Return output and traceback where both are what the board wrote, else None. A sink has had the output.

        ``told`` is what the report should say, where the board was asked for it: then one byte of that which came may
        be damaged. Nothing else may stand there: it would be output that nobody counted.
        """
        body = self.body()
        report = read(body if body is not None else told or b"")
        if report is None:
            return None
        came = bytes(self._report or b"")
        if body is not None:
            end = came[len(self._key) + len(body) + 1 + _CHECKSUM :]
            fits = not end or self._is_end(end)
        else:
            if self._sink is None:
                everything = self.output + self._held + came
                self._pieces, came = [everything[: report.length]], everything[report.length :]
                self.length, self._checksum = len(self.output), zlib.crc32(self.output)
            fits = self._is_end(came, told)
        if not fits or (self.length, self._checksum) != (report.length, report.checksum):
            return None
        return self.output, report.traceback

    def _is_end(self, came: bytes, told: bytes | None = None) -> bool:
        """Whether bytes are, but for one, what ends a response: the report, if it is ``told``, marker and prompt."""
        text = b"" if told is None else self._key + told
        report = text and text + b":%08x" % zlib.crc32(text, SEED)
        ends = (report, report + self._marker, report + self._marker + _PROMPT)
        return any(_nearly(came, end) for end in ends if end)


def _nearly(came: bytes, sent: bytes) -> bool:
    """Whether at most one byte was exchanged, lost or added on the way."""
    before = _alike(came, sent)
    behind = _alike(came[before:][::-1], sent[before:][::-1])
    return max(len(came), len(sent)) - before - behind <= 1


def _alike(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)


def read(body: bytes) -> Report | None:
    """Read what a report says; None is: the code has not ended."""
    found = _ENDED.fullmatch(body)
    if found is None:
        return None
    return Report(int(found[1], 16), int(found[2], 16), without_our_frame(binascii.a2b_base64(found[3])))
