"""What a board answers to code, from its acknowledgement to its prompt: where it ends, and what it says.

A response is output, ``\\x04``, traceback, ``\\x04>``, all in one stream with what the program prints. `PlainResponse`
believes it. `MarkedResponse` does not: a program that prints ``\\x04\\x04>`` would look finished to it.
"""

from __future__ import annotations

import re

from belay_py.protocol.codes import CTRL_A, CTRL_D, FRIENDLY_PASTE_BANNER, RAW_BANNER, RAW_PASTE, RAW_PASTE_REFUSED

_END = b"\x04>"
_CLEAN_END = b"\x04\x04>"
_RAW_BANNER = re.compile(RAW_BANNER)
_AT_A_PROMPT = re.compile(rb"(?<=>)" + RAW_BANNER + rb"\Z")
_LONGEST_BANNER = 40
_REBOOT = re.compile(rb"\x04\x04(?=(?:MPY: )?soft reboot\r)")
_BOOTED_FRIENDLY = b"information.\r\n>>> "  # the end of the banner that greets people
# A Ctrl-C that comes after the restart that it was meant to prevent is answered with another prompt.
_GREETED_AGAIN = re.compile(re.escape(_BOOTED_FRIENDLY) + rb"(?:\r\n>>> )+\Z")
_LONGEST_SIGN = 128  # more than a fence's reply goes on after its nonce, or the banner of paste mode is long
_TRACEBACK = b"\x04Traceback"
# What is written of it depends on the board, and on its language; a message may hold the beginning alone.
_FRAMED_TRACEBACK = re.compile(re.escape(_TRACEBACK) + rb'[^\x04\r\n]*\r?\n  File "')
_STARVED = b"MemoryError"
# What the next bytes may be when a \x04 ends the output: the prompt, a reboot, or a traceback.
_ENDINGS = (_CLEAN_END, b"\x04\x04MPY: soft reboot\r", b"\x04\x04soft reboot\r", _TRACEBACK)


class PlainResponse:
    """A response that is taken at its word: for boards without ``sys.stdout``, and on request."""

    doubtful = False
    end = _CLEAN_END
    """What a response without an exception ends in."""

    def __init__(self) -> None:
        self.traceback = b""
        self.boot_output: bytes | None = None
        """What the board printed while it rebooted, if it did."""
        self._output: list[bytes] = []
        self._rest = b""
        self._in_output = True

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes; return what follows the response once that is over, None before."""
        if self._in_output:
            output, end, data = data.partition(CTRL_D)
            if output:
                self._output.append(output)
            if not end:
                return None
            self._in_output = False
        self._rest += data
        traceback, end, rest = self._rest.partition(CTRL_D)
        if not end or not rest:
            return None
        self.traceback = traceback
        if rest.startswith(b">"):
            return rest[1:]
        # SystemExit and soft resets from inside code end a response with their reboot message (tried).
        return self._reboot(rest)

    def _reboot(self, data: bytes) -> bytes | None:
        banner = _RAW_BANNER.search(data)
        if banner is None:
            return None
        self.boot_output = data[: banner.start()]
        return data[banner.end() :]

    def take_output(self) -> bytes:
        """Return the output that is certain by now, each byte once."""
        output = b"".join(self._output)
        self._output.clear()
        return output


def _last(pattern: re.Pattern[bytes], data: bytes) -> re.Match[bytes] | None:
    return max(pattern.finditer(data), key=re.Match.start, default=None)


def mark(code: bytes, marker: str) -> bytes:
    """Return code that prints the marker when it has run to its end.

    One line break only, since two shift the line numbers of syntax errors, and none behind one that is there. A
    backslash at the end would swallow the break; such code is a syntax error with and without it.
    """
    line_break = b"" if not code or code.endswith((b"\n", b"\\")) else b"\n"
    return code + line_break + b"_q(b'%s')" % marker.encode()


# Nothing but the prompt and the three \x04 is where it must be in a reply: a timer on the board may print anywhere.
_REPLY_HEADER = rb"(?:R\x01..\x01+[^\x04]*\x04|(?:" + RAW_PASTE_REFUSED + rb"|" + RAW_BANNER + rb")OK)"
_STARVED_REPLY = rb"\x04(?:Traceback[^\x04]*)?MemoryError[^\x04]*"
# Of any fence but the last one: a Ctrl-C may have stopped it, or cleared the middle of it.
_LOST_REPLY = re.compile(
    _REPLY_HEADER + rb"\x04[^\x04]*(?:KeyError|MemoryError|KeyboardInterrupt|SyntaxError)[^\x04]*\x04>\Z", re.DOTALL
)

# What stands between the traceback's first word and the exception differs between boards.
_KEY_ERROR = rb"[^\x04]*\x04Traceback[^\x04]*KeyError: '?\xff{%d}'?[^\x04]*"


def _with_stand_in(whole: bytes, nonce: bytes) -> bytes:
    """Return the bytes with a nonce replaced by as many ``\\xff``, which are nowhere else in such a row then.

    So a pattern can be the same for all nonces: `re` keeps the latest 512, some 600 KB with a new nonce in each.
    """
    return whole.replace(b"\xff" * len(nonce), b"\xfe" * len(nonce)).replace(nonce, b"\xff" * len(nonce))


def _before_banners(whole: bytes, start: int) -> int:
    """Return where the banners begin that stand before a place and follow a prompt. That of a restart follows none."""
    while (banner := _AT_A_PROMPT.search(whole, max(0, start - _LONGEST_BANNER), start)) is not None:
        start = banner.start()
    return start


class MarkedResponse:
    """A response whose code ended in printing a marker, which the program could not know.

    Marker, ``\\x04\\x04>``: over, without an exception. An end without the marker is a forgery or an exception; it
    makes the response `doubtful`, and the host sends the `fence`, a piece of code that can only raise KeyError. What
    comes before its answer is the whole response, and one can see which it was. That costs a round trip, on failures
    only. A fence that a program reads from its stdin, because it printed a forged end first, is lost to it.
    """

    def __init__(self, marker: str, fence: str) -> None:
        self.traceback = b""
        self.boot_output: bytes | None = None
        self.doubtful = False
        """Whether the fence must be sent, or has been."""
        self._fence_nonces = [fence.encode()]
        self._banners = 0
        """How many the latest fence asks for before its reply."""
        self._marker = marker.encode()
        self.end = self._marker + _CLEAN_END
        """What a response without an exception ends in."""
        self._buffer = bytearray()
        self._searched = 0
        self._doubted = 0
        self._taken = False
        self._output: bytes | None = None

    @property
    def fence(self) -> bytes:
        """What to send when the response has become doubtful."""
        return RAW_PASTE + b"{}['%s']" % self._fence_nonces[-1] + CTRL_D

    def fence_again(self, nonce: str) -> bytes:
        """Return another fence, to send behind a Ctrl-C: on USB that clears the board's input, a fence included.

        Replies without a nonce, of a board that has no memory for one, look all alike. So when one of them has come, a
        number of Ctrl-A goes before each further fence, another number for each: a banner is a constant of the board's.
        """
        self._fence_nonces.append(nonce.encode())
        if self._buffer.find(_STARVED, self._doubted) < 0:
            return self.fence
        self._banners += 2  # a board without raw-paste adds one of its own
        return CTRL_A * self._banners + self.fence

    def _find_fence_replies(self, whole: bytes) -> tuple[int, int] | None:
        """Return where the replies to all fences begin and end; the last one is answered in any case."""
        replies = [
            self._find_reply(_with_stand_in(whole, nonce), _KEY_ERROR % len(nonce)) for nonce in self._fence_nonces
        ]
        if replies[-1] is not None:
            return self._before_lost(whole, min(start for start, _ in filter(None, replies))), replies[-1][1]
        # A board whose heap the program has filled has no memory for the fence either (tried: `while True: b = [b]` on
        # Pico and wasm), nor for anything that a nonce could be put into. So its complaint counts as the reply; where
        # several are owed, behind the last one's banners only.
        first = self._find_reply(whole, _STARVED_REPLY)
        if first is None or len(replies) == 1:
            return first
        last = self._find_reply(whole, _STARVED_REPLY, self._banners) if self._banners else None
        return None if last is None else (self._before_lost(whole, min(first[0], last[0])), last[1])

    def _before_lost(self, whole: bytes, start: int) -> int:
        """Return where the replies begin that came right before one to a fence, and their banners: none has a nonce."""
        start = _before_banners(whole, start)
        for _ in self._fence_nonces[1:]:
            lost = _LOST_REPLY.search(whole, max(self._doubted, whole.rfind(_END, 0, start - len(_END))), start)
            if lost is None or not whole.endswith(b">", 0, lost.start()):  # no prompt before: the program printed it
                break
            start = _before_banners(whole, lost.start())
        return start

    def _find_reply(self, whole: bytes, reply: bytes, banners: int = 0) -> tuple[int, int] | None:
        # Not compiled beforehand: most responses need none, and compiling takes longer than all the rest.
        before = b"(?:%s){%d}" % (RAW_BANNER, banners)
        found = re.compile(before + _REPLY_HEADER + reply + rb"\x04>", re.DOTALL).search(whole, self._doubted)
        return None if found is None else found.span()

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes; return what follows the response once that is over, None before."""
        buffer = self._buffer
        buffer += data
        if self.doubtful:
            return self._receive_fenced()
        found = buffer.find(self.end, max(0, self._searched - len(self.end)))
        if found >= 0:
            return self._finish(found, found + len(self.end))
        self.doubtful = self._looks_over()
        self._searched = self._doubted = len(buffer)
        return None

    def _looks_over(self) -> bool:
        """Whether the buffer ends as a response does that ended without the marker."""
        buffer = self._buffer
        if buffer.endswith((_END, _BOOTED_FRIENDLY)):
            return True
        if buffer.endswith(b"\n>>> ") and _GREETED_AGAIN.search(bytes(buffer[-2 * _LONGEST_SIGN :])):
            return True
        if buffer.endswith(b"\n>"):
            return _RAW_BANNER.search(bytes(buffer[-_LONGEST_BANNER:])) is not None
        # A timer or a thread on the board may print right behind the prompt, and between the marker and the end.
        new = max(0, self._searched - len(_CLEAN_END))
        end = buffer.rfind(_END, new)
        return end >= 0 and (buffer.find(_CLEAN_END, new) >= 0 or buffer.rfind(_TRACEBACK, 0, end) >= 0)

    def _receive_fenced(self) -> bytes | None:
        # A program may have forged an end early and print on for megabytes: look at what is new, and only if something
        # is there, at all of it.
        new = max(0, self._searched - _LONGEST_SIGN)
        self._searched = len(self._buffer)
        if all(self._buffer.find(sign, new) < 0 for sign in (self._fence_nonces[-1], _STARVED)):
            return None
        whole = bytes(self._buffer)
        reply = self._find_fence_replies(whole)
        if reply is None:
            friendly = whole.rfind(_BOOTED_FRIENDLY)
            typed = whole.find(FRIENDLY_PASTE_BANNER, friendly) if friendly >= 0 else -1
            if typed >= 0 and whole.find(b"{}['" + self._fence_nonces[-1], typed) >= 0:
                # A hard reset: the fence has only been typed at the friendly prompt, which echoes it.
                return self._finish_greeted(whole, friendly, len(whole))
            return None
        return self._end_before_replies(whole[: reply[0]], reply[1])

    def _end_before_replies(self, before: bytes, stop: int) -> bytes:
        """Finish with ``before``, which is the whole response and what a restart printed; the fences' replies follow.

        Return what is behind ``stop``, where they end.
        """
        if (marked := before.find(self.end)) >= 0:
            return self._finish(marked, stop)
        friendly = before.rfind(_BOOTED_FRIENDLY)
        if friendly > before.rfind(CTRL_D):  # a hard reset too: the Ctrl-A before the fence has led out of that prompt
            return self._finish_greeted(before, friendly, stop)
        end = before.rfind(_END)
        banner, reboot = _last(_RAW_BANNER, before), _last(_REBOOT, before)
        if banner is not None and reboot is not None and banner.start() > max(end, reboot.start()):
            return self._finish(reboot.start(), stop, boot_output=before[reboot.end() : banner.start()])
        framed = _last(_FRAMED_TRACEBACK, before[:end]) if end >= 0 else None
        traceback = framed.start() if framed is not None else before.rfind(_TRACEBACK, 0, end)
        if traceback < 0:
            # An abort while the board read or compiled, or no memory for more than the exception. Or the program took
            # the marker's writer away: then all of it is output, up to the two ends.
            traceback = max(before.rfind(CTRL_D, 0, end), 0)
        self.traceback = before[traceback + 1 : end]
        rest = self._finish(traceback, stop)
        if not self.traceback and self._output:
            # A timer or a thread has printed between the marker and the end; what it printed stays.
            late = max(0, len(self._output) - _LONGEST_SIGN)
            first, _, last = self._output[late:].rpartition(self._marker)
            self._output = self._output[:late] + first + last
        return rest

    def _finish_greeted(self, whole: bytes, friendly: int, end: int) -> bytes:
        boot = max(whole.rfind(b"MicroPython v", 0, friendly), 0)
        return self._finish(boot, end, boot_output=whole[boot : friendly + len(_BOOTED_FRIENDLY)])

    def _finish(self, output_end: int, end: int, *, boot_output: bytes | None = None) -> bytes:
        rest = bytes(self._buffer[end:])
        self._output = bytes(self._buffer[:output_end])
        self.boot_output = boot_output
        return rest

    def take_output(self) -> bytes:
        """Return the output that is certain by now, each byte once."""
        if self._output is not None:
            output, self._output = self._output, b""
            return output
        certain = self._certain()
        output = bytes(self._buffer[:certain])
        del self._buffer[:certain]
        self._searched -= certain
        self._doubted -= certain
        self._taken = self._taken or certain > 0
        return output

    def _certain(self) -> int:
        """How many bytes can only be output, whatever comes next."""
        buffer = self._buffer
        # Nothing ran if the board aborted while it read or compiled; then the traceback stands at the start.
        if self.doubtful or (buffer.startswith(CTRL_D) and not self._taken):
            return 0
        marker = self._marker
        position = buffer.find(CTRL_D)
        while position >= 0:
            if self._may_be_the_end(position):
                start = position - len(marker)
                return start if start >= 0 and buffer[start:position] == marker else position
            position = buffer.find(CTRL_D, position + 1)
        held = next((count for count in range(len(marker), 0, -1) if buffer.endswith(marker[:count])), 0)
        return len(buffer) - held

    def _may_be_the_end(self, position: int) -> bool:
        following = bytes(self._buffer[position : position + 24])
        if following.startswith(_CLEAN_END) and len(following) > len(_CLEAN_END):
            return False  # without the marker, and something follows: the program printed it
        return any(following.startswith(ending[: len(following)]) for ending in _ENDINGS)
