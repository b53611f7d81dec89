"""`RawRepl` fed arbitrary bytes in arbitrary pieces, in every state, with the host's own steps in between.

The input is a conversation: its first byte chooses how it begins, a ``\\xff`` in the rest ends a piece, and the byte
behind it names what the host (or the board, when it is to be in step for once) does next.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from belay_py.errors import ProtocolViolation
from belay_py.protocol import RESPONDING, BoardReset, Finished, Output, RawRepl, Ready, ReplState

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = (0, 32, 128, 65535)
REQUEST = b"\x05A\x01"
FENCE = re.compile(rb"\x05A\x01\{\}\['[\w-]+'\]\x04")
BOOT_OUTPUT_KEPT = 16384
HANDSHAKE_KEPT = 4096
LONGEST_PIECE = 2**16


def head(window: int) -> bytes:
    """How a board takes code that fits its windows."""
    return b"R\x01" + window.to_bytes(2, "little") + b"\x01\x04" if window else b"R\x00>OK"


@dataclass
class Conversation:
    """One conversation, and what is known of it beside `RawRepl`."""

    window: int
    marked: bool
    stream: bool
    repl: RawRepl = field(default_factory=lambda: RawRepl(chunk=64))
    fed: int = 0
    numbers: count[int] = field(default_factory=count)
    handshake: str = ""
    nonce: str = ""
    code: bytes = b""
    sent: bytes = b""
    owed: int = 0
    interrupted: bool = False

    def _word(self, length: int) -> str:
        return f"{next(self.numbers):x}".rjust(length, "q")

    # -- what happens -------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Let the board say something."""
        self.fed += len(data)
        with contextlib.suppress(ProtocolViolation):
            try:
                self.repl.receive_data(data)
            except ProtocolViolation:
                assert self.repl.state is ReplState.UNKNOWN, self.repl.state
                raise
        self.look()

    def enter(self) -> None:
        self.handshake = self._word(12)
        self.repl.enter(self.handshake)
        self.sent, self.owed, self.code = b"", 0, b""
        self.repl.data_to_send()
        self.look()

    def submit(self) -> None:
        self._submit(b"print(%d)" % next(self.numbers))

    def submit_much(self) -> None:
        self._submit(b"x = 1\n" * 60)

    def _submit(self, code: bytes) -> None:
        was_ready = self.repl.state is ReplState.READY
        self.nonce = self._word(15)[::-1] if self.marked else ""
        try:
            self.repl.submit(code, nonce=self.nonce, stream=self.stream)
        except ProtocolViolation:
            assert not was_ready
        else:
            assert was_ready
            marker = b"\n_q(b'%s')" % self.nonce[:4].encode() if self.nonce else b""
            self.code, self.sent, self.owed, self.interrupted = code + marker, b"", 1, False
            if code.endswith(b"\n"):
                self.code = code + marker.lstrip()
        self.look()

    def reset(self) -> None:
        was_ready = self.repl.state is ReplState.READY
        try:
            self.repl.soft_reset()
        except ProtocolViolation:
            assert not was_ready
        else:
            assert was_ready
            self.owed, self.code, self.sent = 1, b"", b""
            self.repl.data_to_send()
        self.look()

    def leave(self) -> None:
        with contextlib.suppress(ProtocolViolation):
            self.repl.leave()
            self.repl.data_to_send()
        self.look()

    def interrupt(self) -> None:
        self.interrupted = True
        responding = self.repl.state in RESPONDING
        assert not self.repl.interrupt(self._word(11)) or responding
        self.look()

    def release(self) -> None:
        self.repl.release_chunk()
        self.look()

    def answer_handshake(self) -> None:
        """Bring the conversation in step, if a handshake runs."""
        if self.handshake:
            self.feed(head(self.window) + self.handshake.encode() + b"\r\n\x04\x04>")

    def answer(self) -> None:
        """End the response as a board does."""
        self.feed(head(self.window) + b"done" + self.nonce[:4].encode() + b"\x04\x04>")

    def answer_fence(self) -> None:
        error = b"\x04Traceback (most recent call last):\r\nKeyError: %s\r\n\x04>" % self.nonce[4:].encode()
        self.feed(head(self.window) + error)

    def literal(self) -> None:
        self.feed(b"\xff")

    # -- what must hold -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Take what comes out and hold it against the rules."""
        repl = self.repl
        while (event := repl.next_event()) is not None:
            if isinstance(event, Finished | BoardReset):
                self.owed -= 1
                assert self.owed >= 0, "a response that nobody was owed"
                assert isinstance(event, BoardReset) or repl.state is not ReplState.ENTERING
            elif isinstance(event, Output):
                assert event.data
                assert self.stream
            else:
                assert isinstance(event, Ready)
                assert len(event.discarded) <= HANDSHAKE_KEPT + LONGEST_PIECE
        self._look_at_upload(repl.data_to_send())
        self._look_at_memory()

    def _look_at_upload(self, data: bytes) -> None:
        data = FENCE.sub(b"", data)
        if self.interrupted:
            data = data.replace(b"\x03", b"")
        if not self.code:
            assert data in (b"", b"\x03"), data
            return
        self.sent += data
        body = self.sent.removeprefix(REQUEST)
        assert self.sent.startswith(REQUEST)
        # The one end, of all of the code or behind the part that the board did not want more of; two were a reset.
        assert self.code.startswith(body.removesuffix(b"\x04")), body
        assert body.count(b"\x04") <= 1

    def _look_at_memory(self) -> None:
        repl = self.repl
        limit = BOOT_OUTPUT_KEPT if repl.state is ReplState.REBOOTING else 64
        assert len(repl._buffer) <= limit
        assert len(repl.unanswered) <= HANDSHAKE_KEPT
        if repl.state not in RESPONDING:
            assert not repl._buffer or repl.state is ReplState.REBOOTING

    def ends_in_step(self) -> None:
        """Whatever came before: a handshake leads out of it, and the next response is exact."""
        self.enter()
        self.answer_handshake()
        assert self.repl.state is ReplState.READY
        self.code = b""
        self.submit()
        assert self.repl.state is ReplState.HEADER
        self.owed = 2  # taken below, not in `look`
        self.repl.receive_data(head(self.window) + b"done" + self.nonce[:4].encode() + b"\x04\x04>")
        written = b""
        while (event := self.repl.next_event()) is not None:
            assert isinstance(event, Output | Finished)
            written += event.data if isinstance(event, Output) else event.output
        assert written == b"done"
        assert self.repl.state is ReplState.READY


STEPS: tuple[Callable[[Conversation], None], ...] = (
    Conversation.enter,
    Conversation.answer_handshake,
    Conversation.submit,
    Conversation.submit_much,
    Conversation.answer,
    Conversation.answer_fence,
    Conversation.reset,
    Conversation.interrupt,
    Conversation.release,
    Conversation.leave,
    Conversation.literal,
)


def run(data: bytes) -> None:
    """Play one conversation. Raises whatever is wrong."""
    first, rest = (data[0], data[1:]) if data else (0, b"")
    talk = Conversation(WINDOWS[first & 3], marked=bool(first & 4), stream=bool(first & 8))
    if first & 16:
        talk.enter()
        talk.answer_handshake()
    if first & 32:
        talk.submit()
    begin, *pieces = rest.split(b"\xff")
    if begin:
        talk.feed(begin)
    for piece in pieces:
        if piece:
            STEPS[piece[0] % len(STEPS)](talk)
        if piece[1:]:
            talk.feed(piece[1:])
    talk.ends_in_step()


def seeds() -> list[bytes]:
    """Conversations to begin with: what real boards have said, and each step once."""
    from tests.protocol.test_recordings import RECORDINGS, conversation

    found = []
    for recording in RECORDINGS:
        window, _ = conversation(recording)
        first = WINDOWS.index(window) if window in WINDOWS else 2
        answers = [answer.replace(b"\xff", b"\xff\x0a") for answer in recording.answers]
        found += [bytes([first | flags]) + b"\xff\x08".join(answers) for flags in (0, 48, 52, 60)]
    found += [b"\x1e" + b"".join(b"\xff" + bytes([step]) for step in (number, 2, number, 4)) for number in range(11)]
    return found
