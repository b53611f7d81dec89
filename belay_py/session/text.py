"""What boards write, as text."""

from __future__ import annotations

import codecs


def to_text(data: bytes) -> str:
    """Decode what a board wrote; see `ExecutionResult.output`."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


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
