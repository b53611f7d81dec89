"""One raw-REPL conversation as a state machine: bytes in, events out, bytes to send.

    repl = RawRepl()
    repl.enter("0123abcd")            # any number of attempts, each with a fresh nonce
    transport.write(repl.data_to_send())
    repl.receive_data(...)            # until next_event() is Ready
    repl.submit(b"print('hi')")       # until next_event() is Finished

An execution takes one round trip: the request for raw-paste, the code and its end go out at once as far as two windows
reach (`protocol.upload` has the rule). That is safe at a verified prompt only, which is why `submit` refuses any other.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

from belay_py.errors import ProtocolViolation
from belay_py.protocol import codes
from belay_py.protocol.events import BoardReset, Event, Features, Finished, Output, Ready
from belay_py.protocol.handshake import Handshake
from belay_py.protocol.response import MarkedResponse, PlainResponse, mark
from belay_py.protocol.state import RESPONDING, ReplState
from belay_py.protocol.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = re.compile(rb"R\x01(..)\x01|" + codes.RAW_PASTE_REFUSED + rb"|" + codes.RAW_BANNER, re.DOTALL)
_LONGEST_HEADER = 32
# What the output of a timer or a thread does not hold, but answers, prompts and restarts do.
_REPLS_OWN = re.compile(rb"\x04|R[\x00\x01]|raw REPL; CTRL-B|>>> |soft reboot\r|MicroPython v")
_MARKER = 4  # characters at the beginning of a nonce; two were met by chance, once in 4,096 runs of what prints an end
_RAW_BANNER = re.compile(codes.RAW_BANNER)
_BOOT_OUTPUT_KEPT = 16384  # a boot.py that prints without end must not fill the host's memory


class RawRepl:
    """The host's side of a raw-REPL conversation.

    ``chunk`` is how many bytes of code go to a board without raw-paste before a pause; the pause is the caller's.
    """

    def __init__(self, *, chunk: int = 256) -> None:
        self.features: Features | None = None
        """How the board takes code; None before the first handshake."""
        self.stray = 0
        """Bytes that came when none were owed: late output of threads and timers on the board, noise. Counted."""
        self.doubted = False
        """Whether such bytes looked like the REPL's own: a late or doubled answer, a restart. The prompt is to be
        proved by a handshake then, before code is sent."""
        self._late = b""
        self._chunk = chunk
        self._state = ReplState.UNKNOWN
        self._events: deque[Event] = deque()
        self._outgoing = b""
        self._buffer = b""
        self._response: PlainResponse | MarkedResponse = PlainResponse()
        self._stream = False
        self._upload: Upload | None = None
        self._handshake = Handshake()
        self._raw_paste_reply = b""
        self._parsers: dict[ReplState, Callable[[bytes], bytes]] = {
            ReplState.UNKNOWN: self._on_stray,
            ReplState.ENTERING: self._on_entering,
            ReplState.READY: self._on_stray,
            ReplState.HEADER: self._on_header,
            ReplState.UPLOADING: self._on_uploading,
            ReplState.OUTPUT: self._on_output,
            ReplState.REBOOTING: self._on_rebooting,
        }

    @property
    def state(self) -> ReplState:
        """Where the conversation stands."""
        return self._state

    @property
    def may_have_started(self) -> bool:
        """Whether the end of the latest code was handed out: only then can the board have run any of it."""
        return self._upload is not None and self._upload.end_sent

    @property
    def cut_short(self) -> bool:
        """Whether the board stopped reading the latest code before its end: a syntax error, or no memory for it."""
        return self._upload is not None and self._upload.cut_short

    @property
    def waits_for_time(self) -> bool:
        """Whether code is left that only `release_chunk` lets go (boards without flow control)."""
        return self._upload is not None and self._upload.waits_for_time

    @property
    def unanswered(self) -> bytes:
        """During a handshake: what came and was not the answer (the last 4 KiB)."""
        return self._handshake.received

    # -- what the host wants ------------------------------------------------------------------------------------

    def enter(self, nonce: str) -> None:
        """Queue one attempt to reach the raw prompt; legal in every state.

        ``nonce`` must be fresh for each attempt, letters and digits, at most 16 of them. `Ready` tells that its answer
        has come; answers to earlier attempts count for nothing.
        """
        if self._state is not ReplState.ENTERING:
            self._forget_exchange()
            self._handshake = Handshake()
            self._state = ReplState.ENTERING
        self._outgoing += self._handshake.attempt(nonce)

    def submit(self, code: bytes, *, nonce: str = "", stream: bool = False, marks_itself: bool = False) -> None:
        """Queue code for execution; legal in READY only.

        With a ``nonce``, ten fresh characters at least, of letters, digits, ``-`` and ``_``, nothing that the code
        prints can be taken for the end of its response, unless it guesses the first four; the rest is the fence's. Or
        it forges an end, and behind that what a board without memory answers to a fence. The board must have run
        `prepare` in this life of its interpreter. Without a nonce the response is taken at its word. With ``stream``
        the output comes as `Output` events, else in `Finished`. Code that ``marks_itself`` writes the marker, the
        nonce's first four characters, as the last of its output. The code must hold no byte that `find_unsendable`
        finds.
        """
        self._require_ready("submit code")
        features = self.features
        assert features is not None  # READY comes after a handshake, which sets it
        self._stream = stream
        if nonce:
            marker, fence = nonce[:_MARKER], nonce[_MARKER:]
            code = code if marks_itself else mark(code, marker)
            self._response = MarkedResponse(marker, fence)
        else:
            self._response = PlainResponse()
        # An empty line would be a soft reset on boards that take plain code.
        self._upload = Upload(code or b"pass", window=features.window, chunk=self._chunk)
        self._state = ReplState.HEADER
        self._outgoing += codes.RAW_PASTE + self._upload.take()

    def soft_reset(self) -> None:
        """Queue a soft reset; legal in READY only. `BoardReset` tells that it is done."""
        self._require_ready("reset")
        self._upload = None
        self._state = ReplState.REBOOTING
        self._outgoing += codes.CTRL_D

    def leave(self) -> None:
        """Queue the return to the friendly REPL; legal in READY only. Nothing is awaited."""
        self._require_ready("leave the raw REPL")
        self._state = ReplState.UNKNOWN
        self._outgoing += codes.CTRL_B

    def interrupt(self, nonce: str = "") -> bool:
        """Queue a Ctrl-C. Return whether the board owes the end of a response, so that waiting for it makes sense.

        One may be swallowed (it arrives before the interpreter listens), so repeat it until the response ends; one too
        many dies at the prompt. In the middle of a raw-paste the board drops the code and answers; in the middle of
        plain code it silently clears the line, and only a new handshake brings certainty.

        On boards on USB a Ctrl-C also clears the input, and with it the fence of a response in doubt. With a fresh
        ``nonce`` (see `submit`) another fence follows then.
        """
        self._outgoing += codes.CTRL_C
        if nonce and self._state is ReplState.OUTPUT and isinstance(self._response, MarkedResponse):
            self._outgoing += self._response.fence_again(nonce) if self._response.doubtful else b""
        upload = self._upload
        if self._state not in RESPONDING or upload is None:
            return False
        paced = upload.waits_for_time
        upload.abandon()
        if paced:
            self._forget_exchange()
        return not paced

    def release_chunk(self) -> None:
        """The pause after a chunk is over: queue the next one."""
        if self._upload is not None and self._upload.waits_for_time:
            self._upload.release_chunk()
            self._outgoing += self._upload.take()

    def data_to_send(self) -> bytes:
        """Return, once, the bytes to write now; empty when there are none."""
        data, self._outgoing = self._outgoing, b""
        return data

    # -- what the board says ------------------------------------------------------------------------------------

    def next_event(self) -> Event | None:
        """Return the next event, or None until more data comes."""
        return self._events.popleft() if self._events else None

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the board, however they were split.

        Raises `ProtocolViolation` when the board is certainly not in the raw REPL; the state is then UNKNOWN.
        """
        if self._state is ReplState.HEADER and not self._buffer and self._is_whole_response(data):
            return
        while data:
            data = self._parsers[self._state](data)

    def _is_whole_response(self, data: bytes) -> bool:
        """The common case, a whole response in one read and no exception, at the cost of two comparisons."""
        reply = self._raw_paste_reply
        end = self._response.end
        if not data.endswith(end) or not data.startswith(reply) or self._stream:
            return False
        credits_and_output = data[len(reply) : -len(end)].lstrip(codes.CTRL_A)
        if not credits_and_output.startswith(codes.CTRL_D) or self._upload is None or not self._upload.end_sent:
            return False
        output = credits_and_output[1:]
        if isinstance(self._response, PlainResponse) and codes.CTRL_D in output:
            return False
        self._state = ReplState.READY
        self._events.append(Finished(output, b""))
        return True

    def _on_stray(self, data: bytes) -> bytes:
        self.stray += len(data)
        if self._state is ReplState.READY and not self.doubted:
            late = self._late + data
            self.doubted = _REPLS_OWN.search(late) is not None
            self._late = late[-_LONGEST_HEADER:]
        return b""

    def _on_entering(self, data: bytes) -> bytes:
        answer = self._handshake.receive(data)
        if answer is None:
            return b""
        features, before, after = answer
        self.features = features
        self._raw_paste_reply = (codes.RAW_PASTE_HEADER + features.window.to_bytes(2, "little")).rstrip(b"\x01")
        self._state = ReplState.READY
        self.doubted, self._late = False, b""
        self._events.append(Ready(features, before))
        return after

    def _on_header(self, data: bytes) -> bytes:
        self._buffer += data
        match = _HEADER.search(self._buffer)
        if match is None:
            if codes.FRIENDLY_PASTE_BANNER in self._buffer:
                received = self._forget_exchange()
                raise ProtocolViolation(
                    "the board is at its friendly prompt, not in the raw REPL: it was reset or used by somebody else",
                    received=received,
                    outcome="not_started",  # paste mode has taken the code for a syntax error
                )
            kept = self._buffer[-_LONGEST_HEADER:]
            self.stray += len(self._buffer) - len(kept)
            self._buffer = kept
            return b""
        self.stray += match.start()
        rest = self._buffer[match.end() :]
        self._buffer = b""
        self._state = ReplState.UPLOADING
        upload = self._upload
        assert upload is not None  # HEADER is entered by submit only
        upload.request_was_taken()
        window = int.from_bytes(match[1], "little") if match[1] else 0
        assumed = self.features.window if self.features else 0
        if window != assumed:
            self._forget_exchange()
            raise ProtocolViolation(
                f"the board's raw-paste window changed from {assumed} to {window} bytes: it was reset or exchanged",
                received=match[0],
            )
        if window:
            self._outgoing += upload.take()
        return rest

    def _on_uploading(self, data: bytes) -> bytes:
        assert self._upload is not None  # UPLOADING follows HEADER
        window = self.features.window if self.features else 0
        if not window:
            return self._on_plain_acknowledgement(data)
        before, end, rest = data.partition(codes.CTRL_D)
        credits_granted = before.count(codes.CTRL_A)
        self.stray += len(before) - credits_granted
        if end:
            # Either the acknowledgement of our end, or an abort, which waits for one.
            self._outgoing += self._upload.finish()
            self._state = ReplState.OUTPUT
        else:
            self._upload.grant(credits_granted * window)
            self._outgoing += self._upload.take()
        return rest

    def _on_plain_acknowledgement(self, data: bytes) -> bytes:
        self._buffer += data
        before, acknowledged, rest = self._buffer.partition(codes.ACKNOWLEDGED)
        if not acknowledged:
            self.stray += len(self._buffer) - 1
            self._buffer = self._buffer[-1:]  # it may be the half of it
            return b""
        self.stray += len(before)
        self._buffer = b""
        upload = self._upload
        if upload is None or not upload.end_sent:
            self._forget_exchange()
            raise ProtocolViolation(
                "the board acknowledged code that it does not have yet: the answer is older than the question",
                received=data,
                outcome="not_started",
            )
        self._state = ReplState.OUTPUT
        return rest

    def _on_output(self, data: bytes) -> bytes:
        response = self._response
        was_doubtful = response.doubtful
        rest = response.receive(data)
        if response.doubtful and not was_doubtful:
            assert isinstance(response, MarkedResponse)  # a plain one has no doubts
            self._outgoing += response.fence
        if self._stream and (output := response.take_output()):
            self._events.append(Output(output))
        if rest is None:
            return b""
        output = b"" if self._stream else response.take_output()
        if response.boot_output is None:
            self._events.append(Finished(output, response.traceback))
            self._forget_exchange(ReplState.READY)
        else:
            self._events.append(BoardReset(output, response.boot_output))
            self._forget_exchange()
        return rest

    def _on_rebooting(self, data: bytes) -> bytes:
        self._buffer += data
        banner = _RAW_BANNER.search(self._buffer)
        if banner is None:
            self._buffer = self._buffer[-_BOOT_OUTPUT_KEPT:]
            return b""
        rest = self._buffer[banner.end() :]
        self._events.append(BoardReset(b"", self._buffer[: banner.start()]))
        self._forget_exchange()
        return rest

    def _forget_exchange(self, state: ReplState = ReplState.UNKNOWN) -> bytes:
        """Drop what the latest exchange left behind; return its unparsed input."""
        received, self._buffer = self._buffer, b""
        self._state = state
        if self._upload is not None:
            self._upload.abandon()  # paced code must not go on in the middle of a handshake, at whatever prompt that is
        return received

    def _require_ready(self, purpose: str) -> None:
        if self._state is not ReplState.READY:
            raise ProtocolViolation(f"cannot {purpose} in state {self._state.name}: only at a verified raw prompt")
