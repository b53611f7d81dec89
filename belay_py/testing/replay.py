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

# A session's nonces are new in each conversation: in its handshake, its markers, its fences and the name that it gives
# to a life of the interpreter (see `protocol`). They are as long as those of the recording, and the board's answers
# hold them in these forms.
_NONCES = (
    (re.compile(rb"print\('(\w+)'\+'(\w+)'\)"), b"%s"),
    (re.compile(rb"_q\(b'([\w-]+)'\)"), b"%s\x04\x04>"),
    (re.compile(rb"\{\}\['([\w-]+)'\]"), b"%s"),
    (re.compile(rb"_belay_life='(\w+)'"), b"%s"),
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
        self._said = bytearray()
        self._recorded = b"".join(data for who, data in self._parts if who == "host")
        self._nonces = [
            ([match.span(group) for group in range(1, pattern.groups + 1)], form)
            for pattern, form in _NONCES
            for match in pattern.finditer(self._recorded)
        ]
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
            said = len(self._said)
            raise ConversationDiffers(
                f"the conversation is not over: after {said} bytes from the host, {left[:_SHOWN]!r} is missing"
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
        offset = len(self._said)
        if value != expected[self._position] and not any(
            start <= offset < end for spans, _ in self._nonces for start, end in spans
        ):
            before = bytes(self._said[max(offset - self._position, offset - _SHOWN) :])
            wanted = expected[self._position : self._position + _SHOWN]
            self._differ(f"after {before!r} it sent {bytes([value])!r}, and {wanted!r} in the recording")
            return
        self._said.append(value)
        self._position += 1
        self._translate()
        if self._position == len(expected):
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

    def _translate(self) -> None:
        """Note what the board's answers must say instead of a nonce that is complete now."""
        for spans, form in self._nonces:
            if spans[-1][1] == len(self._said):
                old, new = (b"".join(data[start:end] for start, end in spans) for data in (self._recorded, self._said))
                self._translations.append((form % old, form % new))

    def _next_part(self) -> None:
        self._part += 1
        self._position = 0

    def _differ(self, how: str) -> None:
        self._difference = f"byte {len(self._said)} from the host differs: {how}"
        self._wire.lose(ConversationDiffers(self._difference))
