"""How a file's bytes are written for the wire.

A file goes in blocks, each deflated by itself where that makes it smaller. What carries them is code: bytes literals in
it, base64 in it, or a call that reads frames from the board's stdin, which are the bytes themselves but for 1 to 4.
Wire bytes for each byte of random data: 1.02 in frames, 1.04 in literals, 1.34 in base64.
"""

from __future__ import annotations

import binascii
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import NotSupported
from belay_py.session.files import boardside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.files.abilities import Abilities
    from belay_py.session.files.transfer import Encoding

# A NUL in code turns into \x01 on unix and wasm (tried); 3 and 4 are the REPL's, without raw-paste 1 and 2 too.
_ESCAPED: Final = re.compile(rb"[\x00-\x04](?=[0-7])|[\x00-\x04\n\r'\\]")
_WORDS: Final = {ord("\n"): b"\\n", ord("\r"): b"\\r", ord("'"): b"\\'", ord("\\"): b"\\\\"}
_PAYS: Final = 0.9
"""A deflated block must be smaller than this share of the block: inflating takes a slow board time."""
_FASTER: Final = 1.2
_BITS: Final = 10  # on the wire, per byte
_CONTROL: Final = (1, 2, 3, 4)
_LEAST_FRAME: Final = 248
"""A frame of so many bytes has room for four substitutes always."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a file. ``size`` is how many bytes of the file it stands for."""

    size: int
    payload: bytes
    deflated: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """How a file is to go: what carries it, and whether blocks are deflated always, never (0.0), or when it pays."""

    carrier: str
    least_gain: float
    """Which share of a block its deflated form must be smaller than; 0 where it is never tried."""
    slow_carrier: str = ""
    """What carries the rest, once the link has shown that it is a slow wire."""

    @classmethod
    def of(cls, wanted: Encoding | None, abilities: Abilities, *, checked: bool) -> Choice:
        """Make one for a board and a file; ``checked`` is the integrity mode, which checks no stdin.

        Raises `NotSupported` when the board cannot do what is wanted.
        """
        if wanted is not None:
            carrier = wanted.removeprefix("deflate+")
            if missing := _missing(carrier, abilities, deflate=carrier != wanted, checked=checked):
                raise NotSupported(f"encoding {wanted!r} needs {missing}; leave encoding out to have it chosen")
            return cls(carrier, float("inf") if carrier != wanted else 0.0)
        least_gain = _PAYS if abilities.inflate else 0.0
        binary = "" if _missing("binary", abilities, deflate=False, checked=checked) else "binary"
        if abilities.raw_paste:
            return cls("literal", least_gain, slow_carrier=binary)
        # Code has no flow control there; binary data has its own.
        return cls(binary or ("base64" if abilities.base64 else "literal"), least_gain)

    def after(self, size: int, seconds: float, baudrate: int) -> Choice:
        """Return how to go on after ``size`` bytes on the wire took so long.

        Binary data has the fewest bytes, and costs the board a credit for each 60 of them: on a direct link literals
        took a third of its time. So what is faster than the baudrate allows is no wire, and stays with literals.
        """
        if not self.slow_carrier or size / max(seconds, 1e-6) > _FASTER * baudrate / _BITS:
            return self
        return Choice(self.slow_carrier, self.least_gain)


def _missing(carrier: str, abilities: Abilities, *, deflate: bool, checked: bool) -> str:
    if deflate and not abilities.inflate:
        return "a board that can inflate"
    if carrier == "base64" and not abilities.base64:
        return "a board with binascii"
    if carrier == "binary" and not abilities.binary_stdin:
        return "a board with sys.stdin.buffer"
    if carrier == "binary" and checked:
        return "a session without communication.integrity, which checks no input"
    return ""


def blocks_of(content: memoryview, choice: Choice, size: int, wbits: int) -> Iterator[Block]:
    """Cut content into blocks of ``size`` bytes."""
    for start in range(0, len(content), size):
        plain = bytes(content[start : start + size])
        if choice.least_gain:
            packed = _deflate(plain, wbits)
            if len(packed) < choice.least_gain * len(plain):
                yield Block(len(plain), packed, deflated=True)
                continue
        yield Block(len(plain), plain, deflated=False)


def _deflate(plain: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -wbits)
    return packer.compress(plain) + packer.flush()


def literal(data: bytes) -> bytes:
    """Return the bytes literal for some bytes, shorter than ``repr``'s."""
    return b"b'" + _ESCAPED.sub(_escape, data) + b"'"


def _escape(match: re.Match[bytes]) -> bytes:
    byte = match[0][0]
    if byte in _WORDS:
        return _WORDS[byte]
    followed = match.string[match.end() : match.end() + 1]
    return b"\\x%02x" % byte if followed.isdigit() else b"\\%o" % byte


def to_code(block: Block, carrier: str) -> bytes:
    """Return the arguments of the board's function ``w`` for a block."""
    mode = block.deflated | (2 if carrier == "base64" else 0)
    if carrier == "base64":
        return b"%d,b'%s'" % (mode, binascii.b2a_base64(block.payload, newline=False))
    return b"%d,%s" % (mode, literal(block.payload))


def frames_of(block: Block, longest: int) -> Iterator[bytes]:
    """Return the frames of a block, each of ``longest`` bytes at most, as `boardside` reads them."""
    payload = block.payload
    start = 0
    flags = 0x80 | (boardside.DEFLATED if block.deflated else 0)
    while start < len(payload):
        size = min(longest - boardside.HEAD, len(payload) - start)
        while (substituted := _substituted(payload[start : start + size])) is None:
            size = max(_LEAST_FRAME, size * 3 // 4)
        start += size
        last = boardside.LAST if start == len(payload) else 0
        yield bytes((flags | last | size >> 7, 0x80 | size & 127)) + substituted


def _substituted(data: bytes) -> bytes | None:
    """Return data without the bytes 1 to 4, behind what stands for each, or None where all other bytes are in use."""
    present = [byte for byte in _CONTROL if byte in data]
    if not present:
        return b"\0\0\0\0" + data
    used = set(data)
    unused = [byte for byte in range(5, 256) if byte not in used]
    if len(unused) < len(present):
        return None
    head = bytearray(4)
    for byte, substitute in zip(present, unused, strict=False):
        head[byte - 1] = substitute
        data = data.replace(bytes((byte,)), bytes((substitute,)))
    return bytes(head) + data
