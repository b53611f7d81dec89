"""Getting one file from the board: its length, then its bytes as they are, then their hash."""

from __future__ import annotations

import binascii
import dataclasses
import re
import time
from typing import TYPE_CHECKING, Final

from belay_py.errors import ExecutionError, TransferError
from belay_py.session.files import boardside
from belay_py.session.files.abilities import abilities_of
from belay_py.session.files.hashes import Hash
from belay_py.session.files.pacing import Pace
from belay_py.session.files.problems import explain
from belay_py.session.files.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session.channel import Channel
    from belay_py.session.errands import Errand
    from belay_py.session.files.abilities import Abilities
    from belay_py.session.files.transfer import Progress

_SIZE: Final = re.compile(rb"~(\d{1,18});")
_HASH: Final = re.compile(rb"~(\w{8,64});")
_MOST: Final = 1 << 20
"""Bytes in one execution."""
_MOST_AS_TEXT: Final = 6144
"""The same where they come as text: what is decoded at once."""
_LONGEST_SIZE: Final = 256
"""Bytes in front of the content that something else on the board may have printed."""


class Download:
    """One file on its way. ``write`` is given its bytes as they come."""

    def __init__(
        self, errand: Errand, path: str, write: Callable[[bytes], object], *, progress: Progress | None = None
    ) -> None:
        self._errand = errand
        self._path = path
        self._write = write
        self._progress = progress
        self._size: int | None = None
        self._done = 0
        self._wanted = 0
        """How many bytes of the content this execution sends; -1 before the size is known."""
        self._loose = bytearray()
        """What came and is no content."""

    async def run(self) -> Transfer:
        """Do it. Raises what `DeviceSession.execute` raises, and what `Transfers.get` says."""
        standing = self._errand.standing
        counters = standing.counters
        started, before = time.perf_counter(), counters.bytes_sent + counters.bytes_received
        abilities = await abilities_of(self._errand)
        channel = standing.channel
        if channel is not None and not channel.marked and channel.integrity is None:
            # A plain response is taken at its word: a \x04 in the content would end it.
            abilities = dataclasses.replace(abilities, binary_stdout=False)
        self._hash = Hash(abilities.hash)
        self._from_text = binascii.a2b_base64 if abilities.writes_base64 else binascii.unhexlify
        try:
            told = await self._move(abilities)
        except ExecutionError as error:
            raise await explain(self._errand, error, self._path, boardside.get_kit(abilities)) from error
        if told != self._hash.told():
            raise TransferError(
                f"{self._path!r} came damaged, or was changed on the board meanwhile; get it again, on a noisy wire "
                "with communication.integrity"
            )
        return Transfer(
            path=self._path,
            size=self._done,
            sent=counters.bytes_sent + counters.bytes_received - before,
            encoding="binary" if abilities.binary_stdout else "base64" if abilities.writes_base64 else "hex",
            duration=time.perf_counter() - started,
        )

    async def _move(self, abilities: Abilities) -> str:
        """Move all of it; return what the board says its hash is."""
        kit = boardside.get_kit(abilities)
        call = kit.name.encode()
        pace = Pace(self._errand.standing.options, _MOST if abilities.binary_stdout else _MOST_AS_TEXT)
        answer = self._answer if abilities.binary_stdout else self._answer_as_text
        code = b"%s['s'](%s,%%d)" % (call, ascii(self._path).replace("%", "%%").encode())
        await self._errand.use(kit)
        while True:
            self._loose.clear()
            self._limit = pace.size
            self._wanted = -1 if self._size is None else min(pace.size, self._size - self._done)
            done, started = self._done, time.perf_counter()
            await self._errand.converse(code % pace.size, answer)
            if not abilities.binary_stdout:
                self._decode()
            if self._size is None or self._wanted > 0:
                return ""
            if self._done >= self._size:
                told = _HASH.search(bytes(self._loose))
                return told[1].decode() if told else ""
            pace.seen(self._done - done, time.perf_counter() - started)
            code = b"%s['m'](%%d)" % call

    def _answer(self, channel: Channel, output: bytes) -> None:
        try:
            self._take(output)
        except Exception as error:  # noqa: BLE001  the caller's callback or file: the caller gets it from get()
            self._wanted = 0
            channel.fail(error)

    def _answer_as_text(self, channel: Channel, output: bytes) -> None:
        self._loose += output

    def _take(self, output: bytes) -> None:
        if self._wanted < 0:
            self._loose += output
            found = _SIZE.search(bytes(self._loose[:_LONGEST_SIZE]))
            if found is None:
                return
            self._begin(int(found[1]))
            output = bytes(self._loose[found.end() :])
            self._loose.clear()
        content, loose = output[: self._wanted], output[self._wanted :]
        self._wanted -= len(content)
        self._loose += loose
        self._accept(content)

    def _begin(self, size: int) -> None:
        self._size = size
        self._wanted = min(self._limit, size)
        self._tell()

    def _accept(self, content: bytes) -> None:
        if content:
            self._hash.update(content)
            self._write(content)
            self._done += len(content)
            self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, self._size)

    def _decode(self) -> None:
        """Take an execution's output as text apart: a size before the first, a hash after the last, lines between."""
        text = bytes(self._loose)
        if self._size is None:
            found = _SIZE.search(text[:_LONGEST_SIZE])
            if found is None:
                return
            self._begin(int(found[1]))
            text = text[found.end() :]
        lines = text.partition(b"~")[0].split()
        try:
            content = b"".join(map(self._from_text, lines))
        except ValueError:
            return
        self._wanted -= len(content)
        self._accept(content)
