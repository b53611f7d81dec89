"""The board's linear memory, read and written from the host while the board may be computing.

The base address is taken once: wasmtime reserves the whole 32-bit space (its default on 64-bit hosts), so that growing
never moves it.
"""

from __future__ import annotations

import ctypes


class Memory:
    """Typed access at offsets of a linear memory whose first byte is at the host's address `base`."""

    def __init__(self, base: int) -> None:
        self._base = base

    def read(self, at: int, length: int) -> bytes:
        """Copy `length` bytes out."""
        return ctypes.string_at(self._base + at, length)

    def write(self, at: int, data: bytes) -> None:
        """Copy bytes in."""
        ctypes.memmove(self._base + at, data, len(data))

    def text(self, at: int) -> str:
        """Decode a C string. Bytes that are not UTF-8 survive a round trip through the host's file system."""
        return ctypes.string_at(self._base + at).decode("utf-8", "surrogateescape")

    def word(self, at: int) -> ctypes.c_uint32:
        """Give a live 32-bit word: its ``value`` is read and written in place, in one access."""
        return ctypes.c_uint32.from_address(self._base + at)

    def half(self, at: int) -> ctypes.c_uint16:
        """Give a live 16-bit word."""
        return ctypes.c_uint16.from_address(self._base + at)
