"""The board's bytes on their way to stdout."""

from __future__ import annotations

from typing import BinaryIO


class BoardOutput:
    """Writes what a board prints, piece by piece and at once.

    Boards send ``\\r\\n`` for each ``\\n`` that a program prints. That is undone, on terminals too, so that a program's
    output is the same wherever it goes and equals what the program wrote. Nothing is decoded: bytes that are no UTF-8
    pass as they are, and a character split between two pieces is whole again behind us. What a program writes to
    ``sys.stdout.buffer`` comes with no such change, so a binary ``\\r\\n`` would be hit as well: `exact` passes all.
    """

    def __init__(self, stream: BinaryIO, *, exact: bool = False) -> None:
        self._stream = stream
        self._exact = exact
        self._held = b""

    def write(self, data: bytes) -> None:
        """Pass a piece on. Raises OSError, such as BrokenPipeError when nobody reads any more."""
        if not self._exact:
            data = self._held + data
            self._held = b""
            if data.endswith(b"\r"):
                data, self._held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n")
        self._send(data)

    def finish(self) -> None:
        """Pass on what was held back in case a line feed followed."""
        held, self._held = self._held, b""
        self._send(held)

    def _send(self, data: bytes) -> None:
        if data:
            self._stream.write(data)
            self._stream.flush()
