"""What a person's terminal sends, taken apart: keys for the board, the keys that leave, and pastes."""

from __future__ import annotations

from dataclasses import dataclass

LEAVE = (0x18, 0x1D)
"""Ctrl-X and Ctrl-]."""
INTERRUPT = b"\x03"
_PRESSED = b"\x03\x18\x1d"
"""These, when a read holds nothing else, are keys: a paste comes in longer pieces."""
BRACKETED_PASTE_ON = b"\x1b[?2004h"
BRACKETED_PASTE_OFF = b"\x1b[?2004l"
_PASTE = b"\x1b[200~"
_END_OF_PASTE = b"\x1b[201~"
# What a paste may hold; other control characters would be keys.
_TEXT = frozenset({0x09, 0x0A, 0x0D, *range(0x20, 0x7F), *range(0x80, 0x100)})


@dataclass(frozen=True, slots=True)
class Typed:
    """Keys."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ctrl-C: what was typed before counts for nothing."""


@dataclass(frozen=True, slots=True)
class Pasted:
    """A paste in brackets, without them, line ends as the return key sends them, control characters removed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """One of the keys that leave; nothing follows."""


Key = Typed | Interrupted | Pasted | Left


class Keys:
    """Takes what a terminal sends, however it was split."""

    def __init__(self) -> None:
        self._rest = b""
        self._paste: bytes | None = None

    def receive(self, data: bytes) -> list[Key]:
        """Return what was done since. ``data`` is what one read gave."""
        found: list[Key] = []
        if data and not data.strip(_PRESSED):
            self._paste = None  # its end was lost, and would be waited for without end
        self._rest += data
        while self._rest:
            if self._paste is not None:
                if not self._go_on_pasting(found):
                    break
                continue
            at, what = min(
                (
                    (self._rest.find(mark), mark)
                    for mark in (INTERRUPT, *map(_byte, LEAVE), _PASTE)
                    if mark in self._rest
                ),
                default=(_held(self._rest, _PASTE), b""),
            )
            if at:
                found.append(Typed(self._rest[:at]))
            self._rest = self._rest[at + len(what) :]
            if what == _PASTE:
                self._paste = b""
            elif what == INTERRUPT:
                found.append(Interrupted())
            elif what:
                return [*found, Left()]
            else:
                break
        return found

    def _go_on_pasting(self, found: list[Key]) -> bool:
        """Look for the end of a paste; return whether it is there."""
        self._paste = (self._paste or b"") + self._rest
        text, end, self._rest = self._paste.partition(_END_OF_PASTE)
        if not end:
            self._paste = text
            return False
        self._paste = None
        text = text.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
        found.append(Pasted(bytes(byte for byte in text if byte in _TEXT)))
        return True


def _byte(value: int) -> bytes:
    return bytes((value,))


def _held(data: bytes, mark: bytes) -> int:
    """Where a ``mark`` that is not complete begins at the end of ``data``. A lone Escape is a key."""
    for length in range(len(mark) - 1, 1, -1):
        if data.endswith(mark[:length]):
            return len(data) - length
    return len(data)
