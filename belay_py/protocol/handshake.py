"""Getting to a verified raw prompt, whatever the board is doing.

A banner proves little: it may be old, doubled, or printed by a program. So every attempt ends in a tiny execution that
prints a nonce, and only that nonce counts. Boards answer in order, hence everything before it is stale and nothing
stale can come after. The nonce is sent in two parts, so that the echo of a friendly prompt does not hold it.
"""

from __future__ import annotations

import re

from belay_py.protocol.codes import CTRL_A, CTRL_C, CTRL_D, RAW_BANNER, RAW_PASTE, RAW_PASTE_REFUSED
from belay_py.protocol.events import Features

# How the board takes code; its answer to the code, a nonce; the unix port's terminal turns \r\n into \r\r\n.
# One pattern for all nonces: `re` would keep each one's, up to 512 of them.
_REPLY = re.compile(
    rb"(?:R\x01(..)\x01+\x04|(?:" + RAW_PASTE_REFUSED + rb"|" + RAW_BANNER + rb")OK)([\w-]+)\r*\n\x04\x04>", re.DOTALL
)


class Handshake:
    """One handshake: its attempts and the search for the answer to the latest of them."""

    __slots__ = ("_buffer", "_nonce")

    KEPT = 4096
    """Bytes of unanswered input that are kept for the search and for reports."""

    def __init__(self) -> None:
        self._buffer = b""
        self._nonce = b""

    def attempt(self, nonce: str) -> bytes:
        """Return what to send for one attempt; from now on only this nonce's answer counts.

        Two Ctrl-C stop a running program and clear a half-typed line (a ``\\r`` would execute it). Ctrl-A is heard
        only afterwards: it is ignored while ``main.py`` runs. The request for raw-paste in front of the code tells
        what the board can do, and at a friendly prompt, should Ctrl-A be lost, opens paste mode, in which the line is
        a syntax error that runs nothing (tried). At most 40 bytes: they fit the smallest two windows known, 2 x 32.
        """
        self._nonce = nonce.encode()
        code = f"print('{nonce[:-1]}'+'{nonce[-1]}')".encode()
        return CTRL_C + CTRL_C + CTRL_A + RAW_PASTE + code + CTRL_D

    def receive(self, data: bytes) -> tuple[Features, bytes, bytes] | None:
        """Take input; when the nonce is back, return the features, what came before it, and what came after."""
        self._buffer += data
        match = next((reply for reply in _REPLY.finditer(self._buffer) if reply[2] == self._nonce), None)
        if match is None:
            self._buffer = self._buffer[-self.KEPT :]
            return None
        window = int.from_bytes(match[1], "little") if match[1] else 0
        before, after = self._buffer[: match.start()], self._buffer[match.end() :]
        self._buffer = b""
        return Features(raw_paste=window > 0, window=window), before, after

    @property
    def received(self) -> bytes:
        """What came and was no answer: for the error message of a handshake that fails."""
        return self._buffer
