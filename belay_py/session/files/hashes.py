"""Hashes of content, as the board tells them."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

HASHED: Final = 16
"""How many hexadecimal digits of a sha256 are compared: they are to find damage, not malice."""


class Hash:
    """A hash that grows: ``sha256``, ``crc32`` or ``adler32``."""

    def __init__(self, kind: str) -> None:
        self._sha256 = hashlib.sha256() if kind == "sha256" else None
        self._step = zlib.crc32 if kind == "crc32" else zlib.adler32
        self._value = 0 if kind == "crc32" else 1

    def update(self, data: bytes | memoryview) -> None:
        """Take more of the content."""
        if self._sha256 is not None:
            self._sha256.update(data)
        else:
            self._value = self._step(data, self._value)

    def told(self) -> str:
        """Return it as the board tells it."""
        return f"{self._value:08x}" if self._sha256 is None else self._sha256.hexdigest()[:HASHED]


def hash_of(kind: str, data: bytes | memoryview) -> str:
    """Return the hash of some content as the board tells it."""
    whole = Hash(kind)
    whole.update(data)
    return whole.told()
