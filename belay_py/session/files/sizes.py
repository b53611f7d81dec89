"""How much a board takes at once, by the memory that it had free when it was connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from belay_py.session.files.abilities import Abilities

_LITERAL: Final = 8192
"""Bytes of literals in one execution where the board has the memory: 0.7 s at 115200 baud, and 5 ms between two."""
_BINARY: Final = 256 << 10
_LEAST: Final = 256
_HEAP_SHARE: Final = 8
"""Which part of the free heap one execution may be. Compiling a literal takes three times its size."""


def most(abilities: Abilities, carrier: str) -> int:
    """Return how many bytes go to the board in one execution at most."""
    return max(min(abilities.free // _HEAP_SHARE, _BINARY if carrier == "binary" else _LITERAL), _LEAST)


def inflated(abilities: Abilities) -> int:
    """Return how many bytes of a file one execution stands for at most."""
    return max(abilities.free // _HEAP_SHARE, _LEAST)


def block(abilities: Abilities) -> int:
    """Return how many bytes of a file are deflated at once."""
    return 512 if abilities.small else 4096


def wbits(abilities: Abilities) -> int:
    """Return the size of deflate's window that the board has memory for, as a power of two."""
    return 9 if abilities.small else 12


def frame(abilities: Abilities) -> int:
    """Return how many bytes one frame of binary data has at most."""
    return 256 if abilities.small else 1024


def buffer(abilities: Abilities) -> int:
    """Return how many bytes of a file are read at once; a multiple of 3, so that base64 needs no padding."""
    return 192 if abilities.small or not abilities.binary_stdout else 3072
