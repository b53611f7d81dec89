"""MicroPython's prompts, byte by byte: what a board answers while no program runs.

It follows ``shared/runtime/pyexec.c``; the tests compare it with conversations that were recorded with the official
Pico firmware, byte for byte.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal

from belay_py.protocol.codes import CTRL_A, CTRL_B, CTRL_C, CTRL_D

if TYPE_CHECKING:
    from collections.abc import Callable

CTRL_E = b"\x05"
RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
PROMPT = b">>> "

RawPaste = Literal["supported", "refused", "unknown"]
"""What a board makes of the request for raw-paste: takes it, refuses it, or is too old to know it."""


def traceback(type: str, message: str = "") -> bytes:  # noqa: A002  the device's word for it
    """The text of an exception in the first line of a program."""
    return (
        f'Traceback (most recent call last):\r\n  File "<stdin>", line 1, in <module>\r\n{type}: {message}\r\n'.encode()
    )


class Mode(Enum):
    """What the board takes its input for."""

    FRIENDLY = "friendly"
    PASTE = "paste"
    """Paste mode (Ctrl-E), which is for people."""
    RAW = "raw"
    RAW_PASTE = "raw-paste"
    ABORTED = "aborted"
    """In raw-paste, after the board has given up; it waits for the end of what the host sends."""


class Repl:
    """A board's prompt. ``send`` gets its answers, ``run`` complete code, ``reset`` is called for a soft reset.

    Whoever runs code calls `finish` afterwards.
    """

    def __init__(
        self,
        *,
        greeting: bytes,
        send: Callable[[bytes], None],
        run: Callable[[bytes], None],
        reset: Callable[[], None],
    ) -> None:
        self.mode = Mode.FRIENDLY
        self.raw_paste: RawPaste = "supported"
        self.window = 128
        self.abort_after: int | None = None
        """In raw-paste, give up after so many bytes of code, once."""
        self.abort_error = b"MemoryError: memory allocation failed\r\n"
        self._greeting = greeting
        self._send = send
        self._run = run
        self._reset = reset
        self._line = bytearray()
        self._window_left = 0
        self._receivers: dict[Mode, Callable[[bytes], None]] = {
            Mode.FRIENDLY: self._on_friendly,
            Mode.PASTE: self._on_paste,
            Mode.RAW: self._on_raw,
            Mode.RAW_PASTE: self._on_raw_paste,
            Mode.ABORTED: self._on_aborted,
        }

    def receive(self, byte: bytes) -> None:
        """Take one byte of input."""
        self._receivers[self.mode](byte)

    def finish(self, error: bytes = b"") -> None:
        """Code has ended, with a traceback or without: say so and be at the prompt."""
        self._send(CTRL_D + error + CTRL_D + b">" if self.mode is Mode.RAW else error + PROMPT)

    def greet(self) -> None:
        """Be at the prompt of a new life of the interpreter."""
        self._send(RAW_BANNER if self.mode is Mode.RAW else self._greeting + PROMPT)

    def be_at(self, mode: Mode) -> None:
        """Be at another prompt, without a word."""
        self._line.clear()
        self.mode = mode

    def _take_line(self) -> bytes:
        line = bytes(self._line)
        self._line.clear()
        return line

    def _on_raw(self, byte: bytes) -> None:
        if byte == CTRL_A:
            self._on_request(self._take_line())
        elif byte == CTRL_B:
            self._line.clear()
            self.mode = Mode.FRIENDLY
            self._send(b"\r\n" + self._greeting + PROMPT)
        elif byte == CTRL_C:
            self._line.clear()
        elif byte == CTRL_D:
            self._send(b"OK")
            self._run_or_reset()
        else:
            self._line += byte

    def _on_request(self, line: bytes) -> None:
        if self.raw_paste == "unknown" or len(line) != 2 or not line.startswith(CTRL_E):
            self._send(RAW_BANNER)
        elif self.raw_paste == "refused" or line != b"\x05A":
            self._send(b"R\x00>")
        else:
            self.mode = Mode.RAW_PASTE
            self._window_left = self.window
            self._send(b"R\x01" + self.window.to_bytes(2, "little") + b"\x01")

    def _on_raw_paste(self, byte: bytes) -> None:
        if byte in (CTRL_C, CTRL_D):
            self.mode = Mode.RAW
            self._send(CTRL_D)
            code = self._take_line()
            if byte == CTRL_D:
                self._run(code)
            else:
                self.finish(b"KeyboardInterrupt: \r\n")
            return
        self._line += byte
        self._window_left -= 1
        if not self._window_left:
            self._window_left = self.window
            self._send(CTRL_A)
        if self.abort_after is not None and len(self._line) >= self.abort_after:
            self.abort_after = None
            self._line.clear()
            self.mode = Mode.ABORTED
            self._send(CTRL_D)

    def _on_aborted(self, byte: bytes) -> None:
        if byte in (CTRL_C, CTRL_D):
            self.mode = Mode.RAW
            self.finish(self.abort_error)

    def _on_friendly(self, byte: bytes) -> None:
        if byte == CTRL_C:
            self._line.clear()
            self._send(b"\r\n" + PROMPT)
        elif byte == b"\r":
            self._send(b"\r\n")
            if self._line:
                self._run(self._take_line())
            else:
                self._send(PROMPT)
        elif not self._line and byte in (CTRL_A, CTRL_B, CTRL_D, CTRL_E):
            self._on_friendly_control(byte)
        elif byte >= b" ":
            self._line += byte
            self._send(byte)

    def _on_friendly_control(self, byte: bytes) -> None:
        self._send(b"\r\n")
        if byte == CTRL_A:
            self.mode = Mode.RAW
            self._send(RAW_BANNER)
        elif byte == CTRL_B:
            self._send(self._greeting + PROMPT)
        elif byte == CTRL_D:
            self._reset()
        else:
            self.mode = Mode.PASTE
            self._send(b"paste mode; Ctrl-C to cancel, Ctrl-D to finish\r\n=== ")

    def _on_paste(self, byte: bytes) -> None:
        if byte == CTRL_C:
            self.mode = Mode.FRIENDLY
            self._line.clear()
            self._send(b"\r\n" + PROMPT)
        elif byte == CTRL_D:
            self.mode = Mode.FRIENDLY
            self._send(b"\r\n")
            code = self._take_line()
            if CTRL_A in code:  # no Python source holds it: nothing runs
                self._send(b'Traceback (most recent call last):\r\n  File "<stdin>", line 1\r\n')
                self.finish(b"SyntaxError: invalid syntax\r\n")
            else:
                self._run(code)
        elif byte == b"\r":
            self._line += b"\n"
            self._send(b"\r\n=== ")
        else:
            self._line += byte
            self._send(byte)

    def _run_or_reset(self) -> None:
        code = self._take_line()
        if code:
            self._run(code)
        else:
            self._send(b"\r\n")
            self._reset()
