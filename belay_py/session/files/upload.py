"""Putting one file on the board: into a part beside the target, checked there, then renamed.

A part that an earlier transfer left is gone on from, if it is the beginning of the same content.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Final

from belay_py.errors import BelayError, ExecutionError, NotSupported, RemoteFileError, TransferError
from belay_py.session.files import boardside, encodings
from belay_py.session.files.abilities import Abilities, abilities_of
from belay_py.session.files.feeding import Feed
from belay_py.session.files.hashes import hash_of
from belay_py.session.files.pacing import Pace, patience
from belay_py.session.files.problems import FORGOTTEN, explain
from belay_py.session.files.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.errands import Errand
    from belay_py.session.files.encodings import Block
    from belay_py.session.files.paths import Target
    from belay_py.session.files.transfer import Encoding, Progress

_BEGUN: Final = re.compile(rb"~([01]),(\d{1,18}),(\w*);")
_DAMAGED: Final = b"~!;"
_WORTH_RESUMING: Final = 8192
"""Bytes of a file up to which nobody asks for a part: the question costs a round trip."""
_LITERAL: Final = 8192
"""Bytes of code in one execution where the board has the memory: 0.7 s at 115200 baud, and 5 ms between two."""
_BINARY: Final = 256 << 10
_HEAP_SHARE: Final = 8
"""Which part of the free heap one execution may be. Compiling a literal takes three times its size."""
_BLOCK: Final = 4096
_SMALL_BLOCK: Final = 512


class Upload:
    """One file on its way."""

    def __init__(
        self,
        errand: Errand,
        content: memoryview,
        target: Target,
        *,
        encoding: Encoding | None = None,
        verify: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self._errand = errand
        self._content = content
        self._target = target
        self._encoding = encoding
        self._verify = verify
        self._progress = progress
        self._path = target.path
        self._resumed_from = 0
        self._done = 0
        self._deflated = False

    async def run(self) -> Transfer:
        """Do it. Raises what `DeviceSession.execute` raises, and what `Transfers.put` says."""
        standing = self._errand.standing
        counters = standing.counters
        started, before = time.perf_counter(), counters.bytes_sent + counters.bytes_received
        abilities = await abilities_of(self._errand)
        if not abilities.renames:
            raise NotSupported("the board's os has no rename, so no file can be put there that a cut leaves whole")
        channel = standing.channel
        checked = channel is not None and channel.integrity is not None
        choice = encodings.Choice.of(self._encoding, abilities, checked=checked)
        self._call = boardside.put_kit(abilities).name.encode()
        try:
            carrier = await self._move(abilities, choice)
        except ExecutionError as error:
            problem = await explain(self._errand, error, self._path)
            await self._leave(remove=isinstance(problem, RemoteFileError))
            if error.type in ("NameError", "AttributeError", "KeyError"):
                raise TransferError(FORGOTTEN) from error
            raise problem from error
        except asyncio.CancelledError:
            raise
        except Exception:
            await self._leave(remove=False)
            raise
        return Transfer(
            path=self._path,
            size=len(self._content),
            sent=counters.bytes_sent + counters.bytes_received - before,
            encoding=("deflate+" if self._deflated else "") + carrier,
            duration=time.perf_counter() - started,
            resumed_from=self._resumed_from,
        )

    async def _move(self, abilities: Abilities, choice: encodings.Choice) -> str:
        """Move all of it; return what carried it in the end."""
        options = self._errand.standing.options
        kit = boardside.put_kit(abilities)
        size = len(self._content)
        begin = b"%s['b'](%s,%%d)\n" % (self._call, self._target.to_code().encode())
        code = begin % 0
        if size > _WORTH_RESUMING:
            answer = (await self._errand.call(kit, begin % size, timeout=patience(options, size))).output_bytes
            code = self._resume(answer, abilities)
        else:
            await self._errand.use(kit)
        ended = hash_of(abilities.hash, self._content) if self._verify else ""
        end = b"%s['e']('%s')" % (self._call, ended.encode())
        share = max(abilities.free // _HEAP_SHARE, 256)
        pace = Pace(options, min(share, _LITERAL))
        self._tell(self._resumed_from)
        block_size = _SMALL_BLOCK if abilities.small else _BLOCK
        blocks = encodings.blocks_of(
            self._content[self._resumed_from :], choice, block_size, boardside.wbits(abilities)
        )
        block = next(blocks, None)
        while True:
            batch: list[Block] = []
            weight = 0
            while block is not None and (not batch or weight + len(block.payload) <= pace.size):
                batch.append(block)
                weight += len(block.payload)
                block = next(blocks, None)
            self._deflated |= any(each.deflated for each in batch)
            timeout = patience(options, size) if block is None else None
            started = time.perf_counter()
            output = await self._send(batch, choice, abilities, code, end if block is None else b"", timeout)
            self._note_begun(output)
            if block is None:
                break
            seconds = time.perf_counter() - started
            choice = choice.after(weight, seconds, options.baudrate)
            pace.seen(weight, seconds, min(share, _BINARY if choice.carrier == "binary" else _LITERAL))
            code = b""
        if _DAMAGED in output:
            raise TransferError(
                f"{self._path!r} came to the board damaged, was removed there again, and what was there before is as "
                "it was; put it again, on a noisy wire with communication.integrity"
            )
        return choice.carrier

    async def _send(
        self,
        batch: list[Block],
        choice: encodings.Choice,
        abilities: Abilities,
        before: bytes,
        after: bytes,
        timeout: float | None,
    ) -> bytes:
        """Send blocks in one execution, behind and in front of other code; return what it wrote."""
        if choice.carrier != "binary" or not batch:
            calls = [b"%s['w'](%s)\n" % (self._call, encodings.to_code(block, choice.carrier)) for block in batch]
            done = await self._errand.run(before + b"".join(calls) + after, timeout=timeout)
            self._done += sum(block.size for block in batch)
            if batch:
                self._tell(self._done)
            return done.output_bytes
        frames: list[bytes] = []
        ends: dict[int, int] = {}
        longest = boardside.frame(abilities)
        for block in batch:
            frames += encodings.frames_of(block, longest)
            ends[len(frames) - 1] = block.size
        output = bytearray()

        def taken(frame: int) -> None:
            if frame in ends:
                self._done += ends[frame]
                self._tell(self._done)

        feed = Feed(frames, abilities.window, taken)

        def answer(channel: object, data: bytes) -> None:
            output.extend(data)
            feed.answer(channel, data)  # type: ignore[arg-type]

        code = b"%s%s['r'](%d,%d)\n%s" % (before, self._call, len(frames), feed.piece, after)
        await self._errand.converse(code, answer, timeout=timeout)
        return bytes(output)

    def _resume(self, answer: bytes, abilities: Abilities) -> bytes:
        """Look at what the board has of the content; return code that goes before the first block."""
        begun = self._note_begun(answer)
        if begun is None:
            raise TransferError("the board's answer to the beginning of a transfer was damaged; put the file again")
        size = int(begun[2])
        if not size:
            return b""
        if size <= len(self._content) and hash_of(abilities.hash, self._content[:size]) == begun[3].decode():
            self._resumed_from = self._done = size
            return b""
        return b"%s['n']()\n" % self._call

    def _note_begun(self, output: bytes) -> re.Match[bytes] | None:
        begun = _BEGUN.search(output)
        if begun is not None:
            self._path = self._target.found(is_folder=begun[1] == b"1")
        return begun

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, len(self._content))

    async def _leave(self, *, remove: bool) -> None:
        """Close the part, or remove it; what the board says to that no longer matters."""
        with contextlib.suppress(BelayError):
            await self._errand.run(b"%s['%s']()" % (self._call, b"y" if remove else b"c"))
