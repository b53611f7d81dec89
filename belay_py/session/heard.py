"""What sent bytes that are no MicroPython prompt: a guess in words, for a person who looks for a board."""

from __future__ import annotations

import re
from typing import Final

from belay_py.session.channel import NO_MEMORY

# In order: what is distinctive first, what any text may end in later.
_SIGNS: Final = (
    (rb"MemoryError", f"a board that {NO_MEMORY}"),
    (
        rb"raw REPL; CTRL-B|KeyboardInterrupt|MicroPython v|>>> ",
        "looks like a Python prompt that does not answer as it should; reset the board",
    ),
    (rb"\$[A-Z]{2}[A-Z]{3},[^\r\n]*\*[0-9A-F]{2}", "looks like a GPS receiver (NMEA sentences)"),
    # The first is what the ROM of ESP chips says when a pin or a press of BOOT has asked for new firmware.
    (rb"waiting for download|U-Boot ", "looks like a boot loader; reset the board"),
    (rb"(?i)(?:login|username|password): ?\Z", "looks like a login prompt"),
    (rb"[$#] ?\Z", "looks like a shell's prompt"),
    (rb"(?:\A|\n)(?:OK|ERROR|RING|NO CARRIER|\+CM[ES] ERROR[^\r\n]*)\r", "looks like a modem"),
    (
        rb"print\('\w+'\+'\w'\)",
        "sends back what it is sent: a modem does, and a plug that joins TX and RX",
    ),
)
_COMPILED: Final = tuple((re.compile(pattern), words) for pattern, words in _SIGNS)
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), 0x7F))) - frozenset("\t\r\n\x1b")
_SHOWN = 40  # bytes at the end: enough to know a prompt or a sentence by


def guess(heard: bytes) -> str:
    """Return one line on ``heard``, the latest bytes from a port, which must not be empty."""
    return f"{_words(heard)}; it sent {heard[-_SHOWN:]!r}"


def _words(heard: bytes) -> str:
    if _is_garbage(heard):  # which holds any short sign by chance
        return "garbage, as a wrong baudrate gives"
    for pattern, words in _COMPILED:
        if pattern.search(heard):
            return words
    return "no MicroPython prompt: another device, or a board whose program catches Ctrl-C, which needs a reset"


def _is_garbage(heard: bytes) -> bool:
    """Whether too much of it is no text: 51 to 60 % of random bytes (300 runs of 1,024), 19 % of our own handshake."""
    text = heard.decode("utf-8", "replace")
    wrong = sum(character == "\N{REPLACEMENT CHARACTER}" or character in _CONTROLS for character in text)
    return 5 * wrong > 2 * len(text)
