"""What boards write, as text; and text as messages show it. Below everything else: errors are made of it too."""

from __future__ import annotations

import codecs
import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def to_text(data: bytes) -> str:
    """Decode what a board wrote; see `ExecutionResult.output`."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


def short(text: str, limit: int = 60) -> str:
    """Return text for a message, with its middle cut out where it is longer than ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit // 2]}...{text[-limit // 2 :]}"


def shown(value: object, limit: int = 500) -> str:
    """Return any value for a message, as Python writes it and no longer than ``limit``."""
    try:
        return short(repr(value), limit)
    except ValueError:  # Python refuses to write whole numbers of more than 4,300 digits
        return "a value with too many digits to be shown"


def did_you_mean(name: str, known: Iterable[str], otherwise: str, *, prefix: str = "") -> str:
    """Return the end of a message about a wrong name: the nearest right one, else ``otherwise`` and all of them.

    ``prefix`` stands before the nearest one, such as the table that an option is in.
    """
    right = list(known)
    near = difflib.get_close_matches(str(name), right, n=1)
    return f"did you mean {prefix + near[0]!r}?" if near else f"{otherwise} {', '.join(right) or 'none'}"


class TextDecoder:
    """`to_text` for output that comes in pieces: split characters and split line ends are joined."""

    __slots__ = ("_decoder", "_held")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def decode(self, data: bytes, *, final: bool = False) -> str:
        """Return the text that is complete so far."""
        text = self._held + self._decoder.decode(data, final)
        self._held = ""
        if text.endswith("\r") and not final:
            text, self._held = text[:-1], "\r"
        return text.replace("\r\n", "\n")
