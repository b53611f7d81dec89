"""The bytes that the raw REPL gives a meaning to (MicroPython's ``shared/runtime/pyexec.c``)."""

from __future__ import annotations

import re
from typing import Final

CTRL_A: Final = b"\x01"  # enter raw mode; inside a raw-paste, a credit from the board
CTRL_B: Final = b"\x02"  # back to the friendly REPL
CTRL_C: Final = b"\x03"  # interrupt
CTRL_D: Final = b"\x04"  # end of code, of a section of the response, or, on an empty line, soft reset
RAW_PASTE: Final = b"\x05A\x01"  # ask for raw-paste mode; at a friendly prompt it opens paste mode, where nothing runs

RAW_BANNER: Final = rb"raw REPL; CTRL-B to exit\r+\n>"  # a pattern: the unix port's terminal adds a second \r
RAW_PASTE_REFUSED: Final = rb"R\x00>"  # a pattern too
RAW_PASTE_HEADER: Final = b"R\x01"  # then the window, two bytes, little endian, and one credit
ACKNOWLEDGED: Final = b"OK"  # plain raw only
FRIENDLY_PASTE_BANNER: Final = b"paste mode; Ctrl-C to cancel"  # the answer of a board that is not in raw mode

_UNSENDABLE = re.compile(rb"[\x00-\x04]")


def find_unsendable(code: bytes) -> int | None:
    """Return the offset of the first byte that no board takes as part of code, or None.

    ``\\x03`` and ``\\x04`` interrupt and end an upload, ``\\x01`` and ``\\x02`` change the mode of boards without
    raw-paste, and a NUL arrives as ``\\x01`` on some ports (tried on unix and wasm). All five can be written as
    escapes inside string literals, and have no other place in Python source.
    """
    match = _UNSENDABLE.search(code)
    return match.start() if match else None
