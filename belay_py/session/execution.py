"""Code on its way in and results on their way out: encoding, text, tracebacks."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from belay_py.errors import ExecutionError, InvalidCode
from belay_py.protocol import find_unsendable

# The last line of a traceback, `ValueError: bad`, or the whole of one when the board has no memory for more
# (raw-paste then sends `MemoryError: ...` with no `Traceback` line).
_LAST_LINE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: ?(?P<message>.*))?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What one execution wrote.

    ``output_bytes`` are the bytes as they came, ``duration`` is seconds from the call's turn to the board's prompt.
    """

    output_bytes: bytes
    duration: float

    @property
    def output(self) -> str:
        """The output as text, as the program wrote it.

        Boards send ``\\r\\n`` for each ``\\n`` that a program prints; that is undone here. Bytes that are not UTF-8
        become U+FFFD; `output_bytes` never loses any.
        """
        return to_text(self.output_bytes)


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


def encode_code(code: str | bytes) -> bytes:
    """Return code as the bytes to send.

    Raises `InvalidCode` for text that UTF-8 cannot hold and for the control characters that the REPL takes for itself.
    """
    if isinstance(code, bytes):
        source = code
    else:
        try:
            source = code.encode()
        except UnicodeEncodeError as error:
            line = code.count("\n", 0, error.start) + 1
            raise InvalidCode(
                f"line {line} holds {code[error.start]!r}, half a surrogate pair, which UTF-8 cannot encode; remove it"
            ) from None
    position = find_unsendable(source)
    if position is not None:
        line = source.count(b"\n", 0, position) + 1
        raise InvalidCode(
            f"line {line} holds the control character \\x{source[position]:02x}, which the REPL would take for itself; "
            f'in a string literal write "\\x{source[position]:02x}" as an escape'
        )
    return source


def execution_error(traceback: bytes, output: bytes) -> ExecutionError:
    """Return the device's exception as ours."""
    text = to_text(traceback).strip("\r\n")
    lines = text.split("\n")
    frames = lines[0].startswith("Traceback ")
    # The first line that is not indented; a message may have indented lines of its own.
    start = next((i for i, line in enumerate(lines) if i >= frames and not line.startswith("  ")), 0)
    match = _LAST_LINE.match("\n".join(lines[start:]))
    if match is None:
        return ExecutionError("Exception", text, text, output, to_text(output))
    return ExecutionError(match["type"], match["message"] or "", text, output, to_text(output))


def is_keyboard_interrupt(traceback: bytes) -> bool:
    """Whether a traceback is that of a Ctrl-C which the program let through."""
    return traceback.rstrip().rpartition(b"\n")[2].startswith(b"KeyboardInterrupt")
