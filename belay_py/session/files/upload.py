"""Putting one file on the board: into a part beside the target, checked there, then renamed.

A part that an earlier transfer left is gone on from, if it is the beginning of the same content.
"""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Final

from belay_py.errors import BelayError, CodeTooLarge, ExecutionError, NotSupported, RemoteFileError, TransferError
from belay_py.session.files import boardside, sizes
from belay_py.session.files.abilities import Abilities, abilities_of
from belay_py.session.files.encodings import Choice
from belay_py.session.files.hashes import hash_of
from belay_py.session.files.pacing import Pace, patience
from belay_py.session.files.problems import explain
from belay_py.session.files.sending import Sending, batch_of
from belay_py.session.files.transfer import Transfer

if TYPE_CHECKING:
    from belay_py.session.errands import Errand
    from belay_py.session.files.paths import Target
    from belay_py.session.files.transfer import Encoding, Progress

_BEGUN: Final = re.compile(rb"~([01]),(\d{1,18}),(\w*);")
_DAMAGED: Final = b"~!;"
_KEPT: Final = b"~=;"
_WORTH_RESUMING: Final = 8192
"""Bytes of a file up to which the board is not asked for a part: that costs a round trip."""


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
        self._options = errand.standing.options
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
        checked = standing.channel is not None and standing.channel.integrity is not None
        choice = Choice.of(self._encoding, abilities, checked=checked)
        self._call = boardside.put_kit(abilities).name.encode()
        try:
            carrier = await self._move(abilities, choice)
        except ExecutionError as error:
            problem = await explain(self._errand, error, self._path, boardside.put_kit(abilities))
            await self._leave(remove=isinstance(problem, RemoteFileError))
            raise problem from error
        except Exception as error:
            error.add_note(f"{self._path!r} on the board is the old file or the new one, and whole; put it again")
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

    async def _move(self, abilities: Abilities, choice: Choice) -> str:
        """Move all of it; return what carried it in the end."""
        size = len(self._content)
        before = await self._begin(abilities)
        whole = hash_of(abilities.hash, self._content) if self._verify else ""
        end = b"%s['e']('%s')" % (self._call, whole.encode())
        pace = Pace(self._options, sizes.most(abilities, choice.carrier))
        sending = Sending(self._errand, abilities, self._note_taken)
        self._note_taken(0)
        while True:
            batch = batch_of(self._content[self._done :], choice, abilities, pace.size)
            is_last = self._done + sum(block.size for block in batch) == size
            after, timeout = (end, patience(self._options, size)) if is_last else (b"", None)
            started = time.perf_counter()
            try:
                output = await sending.send(batch, choice.carrier, before=before, after=after, timeout=timeout)
            except CodeTooLarge as error:
                # A program has filled the heap since the board said how much of it is free.
                if error.outcome != "not_started" or not pace.halve():
                    raise
                continue
            before = b""
            self._deflated |= any(block.deflated for block in batch)
            self._note_begun(output)
            if is_last:
                break
            seconds = time.perf_counter() - started
            weight = sum(len(block.payload) for block in batch)
            choice = choice.after(weight, seconds, self._options.baudrate)
            pace.seen(weight, seconds, sizes.most(abilities, choice.carrier))
        if _DAMAGED in output:
            raise TransferError(
                f"{self._path!r} came to the board damaged, and was removed there again before it took the place of "
                "what was there; put it again, on a noisy wire with communication.integrity"
            )
        if _KEPT not in output:
            raise TransferError(
                "the board's answer to the end of a transfer was damaged; put the file again, on a noisy wire with "
                "communication.integrity"
            )
        return choice.carrier

    async def _begin(self, abilities: Abilities) -> bytes:
        """Look for a part to go on from, if that is worth it; return the code for in front of the first block."""
        size = len(self._content)
        resumable = size > _WORTH_RESUMING
        code = b"%s['b'](%s,%d)\n" % (self._call, self._target.to_code().encode(), size if resumable else 0)
        kit = boardside.put_kit(abilities)
        if not resumable:
            await self._errand.use(kit)
            return code
        answer = await self._errand.call(kit, code, timeout=patience(self._options, size))
        begun = self._note_begun(answer.output_bytes)
        if begun is None:
            raise TransferError("the board's answer to the beginning of a transfer was damaged; put the file again")
        there = int(begun[2])
        if not there:
            return b""
        if there <= size and hash_of(abilities.hash, self._content[:there]) == begun[3].decode():
            self._resumed_from = self._done = there
            return b""
        return b"%s['n']()\n" % self._call

    def _note_begun(self, output: bytes) -> re.Match[bytes] | None:
        begun = _BEGUN.search(output)
        if begun is not None:
            self._path = self._target.found(is_folder=begun[1] == b"1")
        return begun

    def _note_taken(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, len(self._content))

    async def _leave(self, *, remove: bool) -> None:
        """Close the part, or remove it; what the board says to that no longer matters."""
        if not self._errand.standing.usable:
            return
        with contextlib.suppress(BelayError):
            await self._errand.run(b"%s['%s']()" % (self._call, b"y" if remove else b"c"))
