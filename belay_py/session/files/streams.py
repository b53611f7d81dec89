"""Files of the board that are read and written piece by piece.

Nothing stays open on the board: each piece opens the file, and closes it. So a reset in between costs nothing, a host
that goes away leaves no open file behind, and others may use the board between two pieces.
"""

from __future__ import annotations

import binascii
import contextlib
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, get_args

from belay_py.errors import BelayError, SettingsError, TransferError
from belay_py.options.checks import COUNT, is_whole, one_of, or_none, require
from belay_py.session.files.asking import Asking, board_path
from belay_py.session.files.board_code import PIECES, piece
from belay_py.session.files.host import plain
from belay_py.text import shown

if TYPE_CHECKING:
    from types import TracebackType

OpenMode: TypeAlias = Literal["rb", "wb", "ab"]
_SMALLEST, _LARGEST = 256, 4096
"""Bytes of a piece, unless the caller says how many."""
_HOW: dict[str, str] = {"rb": "", "wb": "wb", "ab": "ab"}


class RemoteFile(Asking):
    """A file of the board, from ``files.open``, within its ``async with`` block.

    Operations raise the errors of the board's files, `SettingsError` where the mode does not allow them, and what
    `DeviceSession.execute` raises. ``timeout`` of `open` is for each of them.
    """

    def __init__(self, files: Asking, path: str, mode: OpenMode, size: int | None, timeout: float | None) -> None:
        super().__init__(files._session)  # noqa: SLF001  of one family
        require("mode", mode, one_of(*get_args(OpenMode)))
        require("piece", size, or_none(COUNT))
        self.path = board_path(path)
        """The file's path on the board."""
        self.mode = mode
        self._given = size
        self._piece = size or _LARGEST
        self._timeout = timeout
        self._place = 0
        self._waiting = bytearray()
        self._is_open = False

    def __repr__(self) -> str:
        return f"<RemoteFile {self.path!r} {self.mode} {'open' if self._is_open else 'closed'}>"

    async def __aenter__(self) -> Self:
        heap = self._session.info.heap
        if self._given is None and heap is not None:  # a piece is there as code, as text and as bytes at once
            self._piece = min(_LARGEST, max(_SMALLEST, heap.free // 16))
        how = _HOW[self.mode]
        [(size,)] = await self._ask(PIECES, "open", self.path, how, timeout=self._timeout, idempotent=True)
        self._place = 0 if self.mode == "rb" else int(size)
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What the block has raised is not to be hidden by what that is often the reason for.
        with contextlib.suppress(*[BelayError] * (error is not None)):
            await self.close()

    async def close(self) -> None:
        """Write what is left to write, and end. Any number of times."""
        if self._is_open:
            try:
                await self._write_waiting(everything=True)
            finally:
                self._is_open = False

    def tell(self) -> int:
        """Return where the next byte is read or written, from the file's beginning."""
        return self._place + len(self._waiting)

    def seek(self, place: int) -> None:
        """Read on from a place, in bytes from the file's beginning."""
        self._require("rb")
        if not is_whole(place):
            raise SettingsError(f"the place is {shown(place)}; it must be a number of bytes from the file's beginning")
        self._place = place

    async def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, fewer at the file's end and none behind it; by default all that is left."""
        self._require("rb")
        if not isinstance(size, int):
            raise SettingsError(f"size is {shown(size)}; it must be a number of bytes, or -1 for all that is left")
        found = bytearray()
        while size < 0 or len(found) < size:
            wanted = self._piece if size < 0 else min(self._piece, size - len(found))
            data = await self._read_piece(wanted)
            found += data
            if len(data) < wanted:
                break
        return bytes(found)

    def __aiter__(self) -> Self:
        self._require("rb")
        return self

    async def __anext__(self) -> bytes:
        if data := await self._read_piece(self._piece):
            return data
        raise StopAsyncIteration

    async def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write bytes to the file's end; return how many. They are collected, and sent when they make a piece.

        Raises `TransferError` when the file is not as long as this has made it: somebody else writes it.
        """
        self._require("wb", "ab")
        taken = plain(data)
        self._waiting += taken
        await self._write_waiting()
        return len(taken)

    async def flush(self) -> None:
        """Send what was collected; it is on the board then."""
        self._require("wb", "ab")
        await self._write_waiting(everything=True)

    @property
    def _raw(self) -> bool:
        """Whether any byte can come as it is: plainly framed, 0x04 would be the end of the output."""
        can = self._session.info.capabilities
        return can.binary_stdout and can.marked_output and self._session.options.communication.framing == "marked"

    def _require(self, *modes: str) -> None:
        if not self._is_open:
            raise SettingsError(f"{self.path!r} is not open; use it within `with files.open(...)`")
        if self.mode not in modes:
            raise SettingsError(f"{self.path!r} is open as {self.mode!r}; this needs {' or '.join(map(repr, modes))}")

    async def _read_piece(self, size: int) -> bytes:
        call = "get", self.path, self._place, size, self._raw
        data = piece(await self._result_of(PIECES, *call, timeout=self._timeout, idempotent=True))
        self._place += len(data)
        return data

    async def _write_waiting(self, *, everything: bool = False) -> None:
        while len(self._waiting) >= (1 if everything else self._piece):
            data = bytes(self._waiting[: self._piece])
            # What is sent is not sent again: after an error nobody knows whether the board has it.
            del self._waiting[: self._piece]
            text = binascii.b2a_base64(data, newline=False)  # as bytes: some ports' own decoder takes nothing else
            [(size,)] = await self._ask(PIECES, "add", self.path, self._place, text, timeout=self._timeout)
            if size != self._place + len(data):
                self._waiting.clear()
                raise TransferError(
                    f"{self.path!r} has {size} bytes on the board, and not the {self._place + len(data)} that were "
                    "written: something else writes it, or a reset came before they were stored; write it anew"
                )
            self._place += len(data)


class Streaming(Asking):
    """Opening the board's files."""

    def open(
        self, path: str, mode: OpenMode = "rb", *, piece: int | None = None, timeout: float | None = None
    ) -> RemoteFile:
        """Return a file to be read (``rb``), written anew (``wb``) or continued (``ab``), in an ``async with`` block.

        Iterating over it yields its pieces, of ``piece`` bytes each (by default 4096, on small boards less), in
        a round trip each. What is written is on the
        board piece by piece: `put` is for files that are to be there whole or not at all. A text file is bytes here,
        too. ``timeout`` is seconds for each piece.

        Raises `SettingsError` for another mode; the board is asked when the block begins.
        """
        return RemoteFile(self, path, mode, piece, timeout)
