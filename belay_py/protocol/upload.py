"""Code on its way to a board: how much may be sent by now, and what ends it."""

from __future__ import annotations

from belay_py.protocol.codes import CTRL_D


class Upload:
    """One piece of code and its allowance.

    With raw-paste the allowance is credits: two windows at first, one more for each ``\\x01``. The end, ``\\x04``,
    needs a credit only while the board has not yet taken the request out of its receive ring: ring, request, code and
    end together are 260 bytes on a UART board with windows of 128, and one byte more than fits hangs it (tried). Later
    the ring has room for it always.

    Without raw-paste nobody says how much the board can take, so code goes in chunks, and time releases the next.
    """

    __slots__ = ("_abandoned", "_allowance", "_chunk", "_code", "_position", "_request_taken", "cut_short", "end_sent")

    def __init__(self, code: bytes, *, window: int, chunk: int) -> None:
        self._code = code
        self._position = 0
        self._chunk = 0 if window else chunk
        self._allowance = 2 * window if window else chunk
        self._request_taken = False
        self._abandoned = False
        self.end_sent = False
        """Whether the end was handed out. Before that the board cannot have started the code."""
        self.cut_short = False
        """Whether the board aborted before the end was handed out, so that it cannot have run any of the code."""

    @property
    def waits_for_time(self) -> bool:
        """Whether more is to be sent that only `release_chunk` lets go."""
        return bool(self._chunk) and not self._is_over

    def take(self) -> bytes:
        """Return what may be sent now, the end included when its time has come."""
        if self._is_over:
            return b""
        start = self._position
        stop = min(len(self._code), start + max(self._allowance, 0))
        self._allowance -= stop - start
        self._position = stop
        data = self._code[start:stop]
        if stop == len(self._code) and (self._allowance > 0 or self._request_taken):
            self.end_sent = True
            data += CTRL_D
        return data

    def grant(self, count: int) -> None:
        """Allow ``count`` bytes more; negative when the board's window is smaller than was thought."""
        self._allowance += count

    def request_was_taken(self) -> None:
        """Note that the board has answered the request for raw-paste, so that its ring is free of it."""
        self._request_taken = True

    def release_chunk(self) -> None:
        """Allow the next chunk: the time between two chunks has passed."""
        self._allowance = self._chunk

    def finish(self) -> bytes:
        """Send no more code; return the one end that the board still waits for, if any.

        A board that aborts (syntax error, out of memory) waits for exactly one ``\\x04``; a second one would be a soft
        reset (tried).
        """
        if self._is_over:
            return b""
        self.end_sent = self.cut_short = True
        return CTRL_D

    def abandon(self) -> None:
        """Send no more, not even an end: the board has been interrupted while it read."""
        self._abandoned = True

    @property
    def _is_over(self) -> bool:
        return self.end_sent or self._abandoned
