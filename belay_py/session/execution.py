"""Code on its way in, and the result of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from belay_py.errors import InvalidCode
from belay_py.protocol import find_unsendable
from belay_py.text import to_text


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


def encode_code(code: str | bytes) -> bytes:
    """Return code as the bytes to send.

    Raises `InvalidCode` for what is neither text nor bytes-like, for text that UTF-8 cannot hold and for the control
    characters that the REPL takes for itself.
    """
    if not isinstance(code, str):
        if not isinstance(code, bytes | bytearray | memoryview):
            raise InvalidCode(f"the code is of type {type(code).__name__}; it must be text or bytes")
        source = bytes(code)
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


def without_bom(code: bytes) -> bytes:
    """Return code without the mark that some editors on Windows put first: for MicroPython it is a syntax error."""
    return code.removeprefix(b"\xef\xbb\xbf")


def read_code(file: str | Path) -> bytes:
    """Return the code of a host file. Raises `InvalidCode` when it cannot be read."""
    try:
        return without_bom(Path(file).read_bytes())
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidCode(f"cannot read {file} ({reason}); name a file of this computer") from error
