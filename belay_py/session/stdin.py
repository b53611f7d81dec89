"""Input for code that reads its ``sys.stdin`` while it runs on the board.

The board tells nobody how much of it has been read. Boards on USB hold the host back; those on a UART drop what
does not fit their receive ring. So input goes out in chunks with pauses, as code does to boards without raw-paste,
from the moment at which the code has started, and what is left unread is cleared before the next execution.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterable
from functools import partial
from typing import IO, TYPE_CHECKING, TypeAlias

from belay_py.errors import InvalidCode
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from belay_py.options import CommunicationOptions
    from belay_py.session.channel import Channel

StdinSource: TypeAlias = "bytes | str | IO[bytes] | IO[str] | AsyncIterable[bytes] | AsyncIterable[str]"
"""What can be given as ``stdin``. In text each line end is the Enter key, ``\\r``; bytes go as they are."""

_READ = 4096
_BACKLOG = 4096  # bytes on their way to the system beyond which no more are added: a board on USB holds them back
# Ctrl-C stops the code; and of what the code leaves unread, Ctrl-D would run the beginning, and Ctrl-B would leave the
# raw REPL, where lines run one by one (tried).
_UNSENDABLE = re.compile(rb"[\x02-\x04]")


def can_be_fed_again(source: StdinSource | None) -> bool:
    """Whether a second execution would be given the same: files and iterators are used up."""
    return source is None or isinstance(source, bytes | bytearray | memoryview | str)


class Stdin:
    """One execution's input. Raises `InvalidCode` for bytes and text that hold what the REPL takes for itself."""

    def __init__(self, source: StdinSource, how: CommunicationOptions) -> None:
        self._source: bytes | IO[bytes] | IO[str] | AsyncIterable[bytes] | AsyncIterable[str]
        if isinstance(source, bytes | bytearray | memoryview | str):
            self._source = _encode(source)
        elif isinstance(source, AsyncIterable) or hasattr(source, "read"):
            self._source = source
        else:
            raise InvalidCode(
                f"stdin is a {type(source).__name__}; it must be bytes, text, an open file or an asynchronous iterator"
            )
        self._how = how
        self._channel: Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._sent = False

    def feed(self, channel: Channel) -> None:
        """Send as soon as the channel's next code has started."""
        self._channel = channel
        channel.on_started = self._start

    def stop(self) -> bool:
        """Send no more; return whether anything was sent."""
        if self._channel is not None:
            self._channel.on_started = None
        if self._task is not None:
            self._task.cancel()
        return self._sent

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._feed())

    async def _feed(self) -> None:
        channel = self._channel
        assert channel is not None  # set by feed, which comes first
        try:
            async for data in self._pieces():
                for start in range(0, len(data), self._how.chunk):
                    while channel.unsent > _BACKLOG:  # noqa: ASYNC110  the pause is the pace, not a wait for an event
                        await asyncio.sleep(self._how.pace)
                    if not channel.send_input(data[start : start + self._how.chunk]):
                        return
                    self._sent = True
                    await asyncio.sleep(self._how.pace)
        except Exception as error:  # noqa: BLE001  the caller's iterator or file: the caller gets it from execute()
            channel.fail(error)

    async def _pieces(self) -> AsyncIterator[bytes]:
        source = self._source
        if isinstance(source, bytes):
            yield source
        elif isinstance(source, AsyncIterable):
            async for piece in source:
                yield _encode(piece)
        else:
            while piece := await _read(source):
                yield _encode(piece)


async def _read(file: IO[bytes] | IO[str]) -> bytes | str:
    # Not by asyncio.to_thread: a program could not end while a thread of its pool reads from a terminal.
    return await offload(partial(file.read, _READ), lambda _: None, name=f"belay reading stdin {id(file):x}")


def _encode(piece: bytes | str) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview | str):
        raise InvalidCode(f"stdin gave a piece of type {type(piece).__name__}; each must be bytes or text")
    try:
        data = piece.replace("\r\n", "\n").replace("\n", "\r").encode() if isinstance(piece, str) else bytes(piece)
    except UnicodeEncodeError:
        raise InvalidCode("stdin holds half a surrogate pair, which UTF-8 cannot encode; remove it") from None
    if found := _UNSENDABLE.search(data):
        raise InvalidCode(
            f"stdin holds the control character \\x{data[found.start()]:02x} at offset {found.start()}, which the REPL "
            "would take for itself; send it encoded (base64, hex) and decode it on the board"
        )
    return data
