"""A board by recording: it says what a real one said, as long as the host says what it said then."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Self

from belay_py.errors import BelayError
from belay_py.transports.memory import memory_pair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

Direction = Literal["host", "board"]

# A session's nonces are new in each conversation: in its handshake, its markers and its fences (see `protocol`). They
# are as long as those of the recording, and the board's answers hold them in these forms.
_NONCES = (
    (re.compile(rb"print\('(\w+)'\+'(\w+)'\)"), b"%s"),
    (re.compile(rb"_q\(b'([\w-]+)'\)"), b"%s\x04\x04>"),
    (re.compile(rb"\{\}\['([\w-]+)'\]"), b"%s"),
)
_SHOWN = 20
"""Bytes on either side of a difference that its message shows."""


class ConversationDiffers(BelayError, AssertionError):
    """The host did not say what it says in the recording. The message shows the first difference."""


class ReplayedBoard:
    """A board behind a ``memory:`` port that plays one recorded conversation, once. Keep a reference to it.

    ``conversation`` is what each side sent, in order: pairs of ``"host"`` or ``"board"`` and bytes. It says each of
    its parts once the host has sent everything before it. At the first byte that differs it says no more and loses the
    link; `check`, and the end of a ``with`` block, then raise `ConversationDiffers`.

    The random nonces of a session are translated, so that a recorded session can be replayed.
    """

    def __init__(self, conversation: Iterable[tuple[Direction, bytes]], name: str | None = None) -> None:
        self._parts: list[tuple[Direction, bytes]] = [
            (who, b"".join(data for _, data in parts)) for who, parts in groupby(conversation, key=lambda part: part[0])
        ]
        self._part = 0
        self._position = 0
        self._offset = 0
        self._said = bytearray()
        self._translations: list[tuple[bytes, bytes]] = []
        self._difference = ""
        _, self._wire = memory_pair(name)
        self._wire.on_data = self._on_data
        self._wire.on_open = self._speak

    @property
    def port(self) -> str:
        """The port to give to a session or a transport."""
        return self._wire.port

    def check(self) -> None:
        """Raise `ConversationDiffers` unless the whole conversation has been played."""
        if self._difference:
            raise ConversationDiffers(self._difference)
        if self._part < len(self._parts):
            left = self._parts[self._part][1][self._position :]
            raise ConversationDiffers(
                f"the conversation is not over: after {self._offset} bytes from the host, {left[:_SHOWN]!r} is missing"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._difference or error is None:
            self.check()

    def _on_data(self, data: bytes) -> None:
        for value in data:
            if self._difference:
                return
            self._take(value)

    def _take(self, value: int) -> None:
        who, expected = self._parts[self._part] if self._part < len(self._parts) else ("board", b"")
        if who == "board":
            self._differ(f"it sent {bytes([value])!r}, and has nothing more to say in the recording")
            return
        if value != expected[self._position] and not any(
            start <= self._position < end for start, end in _nonces(expected)
        ):
            start = max(0, self._position - _SHOWN)
            before, wanted = bytes(self._said[start:]), expected[self._position : self._position + _SHOWN]
            self._differ(f"after {before!r} it sent {bytes([value])!r}, and {wanted!r} in the recording")
            return
        self._said.append(value)
        self._position += 1
        self._offset += 1
        if self._position == len(expected):
            self._translations += _translations(expected, bytes(self._said))
            self._next_part()
            self._speak()

    def _speak(self) -> None:
        """Say what is the board's to say now."""
        if self._part < len(self._parts) and self._parts[self._part][0] == "board":
            data = self._parts[self._part][1]
            for recorded, live in self._translations:
                data = data.replace(recorded, live)
            self._next_part()
            self._wire.feed(data)

    def _next_part(self) -> None:
        self._part += 1
        self._position = 0
        self._said.clear()

    def _differ(self, how: str) -> None:
        self._difference = f"byte {self._offset} from the host differs: {how}"
        self._wire.lose(ConversationDiffers(self._difference))


def _nonces(expected: bytes) -> list[tuple[int, int]]:
    """Where the nonces of a part are."""
    return [match.span(group) for pattern, _ in _NONCES for match in pattern.finditer(expected)
            for group in range(1, pattern.groups + 1)]  # fmt: skip


def _translations(recorded: bytes, live: bytes) -> list[tuple[bytes, bytes]]:
    """What the board's answers to a part of the recording must say instead."""
    found = []
    for pattern, form in _NONCES:
        for match in pattern.finditer(recorded):
            spans = [match.span(group) for group in range(1, pattern.groups + 1)]
            old, new = (b"".join(data[start:end] for start, end in spans) for data in (recorded, live))
            found.append((form % old, form % new))
    return found
