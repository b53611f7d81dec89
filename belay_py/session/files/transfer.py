"""What a transfer was, and what is told while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

    Progress: TypeAlias = Callable[[int, int | None], object]

Encoding: TypeAlias = Literal[
    "binary", "literal", "base64", "deflate+binary", "deflate+literal", "deflate+base64"
]  # fmt: skip
"""How a file's bytes are written for the wire; see `belay_py.session.files.encodings`."""
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file that was moved.

    ``size`` and ``resumed_from`` are bytes of the file: how many it has, and how many were on the board already, from
    a transfer that was cut. ``sent`` is how many bytes went over the link for it in both directions. ``duration`` is
    seconds.
    """

    path: str
    """The file on the board."""
    size: int
    sent: int
    encoding: str
    duration: float
    resumed_from: int = 0
