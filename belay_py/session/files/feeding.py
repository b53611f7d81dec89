"""Binary data for code that reads it, never more on the way than the board's receive ring surely holds.

The board writes a credit when it is ready, and one for each piece that it has taken. A UART would drop what does not
fit: boards hold 260 bytes, some 64, and two raw-paste windows by the rule of that mode.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from belay_py.session.files.boardside import CREDIT, HEAD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from belay_py.session.channel import Channel

_RING: Final = 255
"""Bytes that every common board holds: its ring has 260, one of them never used."""


def room(window: int, chunk: int) -> int:
    """Return how many bytes may be on the way to a board with this raw-paste window.

    Without raw-paste, when it is 0, ``chunk`` is what the board is trusted with.
    """
    return max(min(2 * window or chunk, _RING), 2 * HEAD)


class Feed:
    """Frames on their way, ``space`` bytes of them at most.

    ``tell`` is called with the index of each frame that the board has taken.
    """

    def __init__(self, frames: list[bytes], space: int, tell: Callable[[int], None]) -> None:
        self._room = space
        self.piece = max(1, (self._room - HEAD) // 4)
        """How many bytes of a frame each credit is for."""
        self._pieces = self._cut(frames)
        self._next = next(self._pieces, None)
        self._flying: deque[tuple[int, int]] = deque()
        self._in_flight = 0
        self._begun = False
        self._tell = tell
        self._failed = False

    def answer(self, channel: Channel, output: bytes) -> None:
        """Take output of the board, and send what that allows."""
        credits_given = output.count(CREDIT)
        if credits_given and not self._begun:
            self._begun = True
            credits_given -= 1
        if not self._begun or self._failed:
            return
        try:
            self._take(credits_given)
        except Exception as error:  # noqa: BLE001  the caller's progress callback: the caller gets it from put()
            self._failed = True
            channel.fail(error)
            return
        ready = []
        while self._next is not None and self._in_flight + len(self._next[0]) <= self._room:
            piece, frame = self._next
            ready.append(piece)
            self._in_flight += len(piece)
            self._flying.append((len(piece), frame))
            self._next = next(self._pieces, None)
        if ready:
            channel.send_input(b"".join(ready))

    def _take(self, credits_given: int) -> None:
        for _ in range(min(credits_given, len(self._flying))):
            size, frame = self._flying.popleft()
            self._in_flight -= size
            if frame >= 0:
                self._tell(frame)

    def _cut(self, frames: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        """Yield the pieces that have a credit each, the last one of a frame with its index, others with -1."""
        for index, frame in enumerate(frames):
            starts = range(HEAD, len(frame), self.piece)
            for start in starts:
                stop = min(start + self.piece, len(frame))
                yield frame[0 if start == HEAD else start : stop], index if stop == len(frame) else -1
