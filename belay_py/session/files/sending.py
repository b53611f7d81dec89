"""Blocks of a file on their way to the board, as many as one execution takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.session.files import boardside, encodings, sizes
from belay_py.session.files.feeding import Feed, room

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.session.channel import Channel
    from belay_py.session.errands import Errand
    from belay_py.session.files.abilities import Abilities
    from belay_py.session.files.encodings import Block, Choice


def batch_of(content: memoryview, choice: Choice, abilities: Abilities, most: int) -> list[Block]:
    """Return the first blocks of content that have at most ``most`` bytes in all, but at least one if there is any.

    Deflated ones have few bytes and make many: a port may keep all of those until the execution ends (wasm does).
    """
    batch: list[Block] = []
    weight = inflated = 0
    size = min(sizes.block(abilities), most)
    for block in encodings.blocks_of(content, choice, size, sizes.wbits(abilities)):
        weight += len(block.payload)
        inflated += block.size
        if batch and (weight > most or inflated > sizes.inflated(abilities)):
            break
        batch.append(block)
    return batch


class Sending:
    """What sends batches to one board. ``taken`` is told how many bytes of the file the board has taken, each once."""

    def __init__(self, errand: Errand, abilities: Abilities, taken: Callable[[int], None]) -> None:
        self._errand = errand
        self._abilities = abilities
        self._call = boardside.put_kit(abilities).name.encode()
        self._taken = taken

    async def send(
        self, batch: list[Block], carrier: str, *, before: bytes, after: bytes, timeout: float | None
    ) -> bytes:
        """Send a batch in one execution, with other code before and after it; return what that wrote."""
        if carrier == "binary" and batch:
            return await self._as_frames(batch, before, after, timeout)
        calls = [b"%s['w'](%s)\n" % (self._call, encodings.to_code(block, carrier)) for block in batch]
        done = await self._errand.run(before + b"".join(calls) + after, timeout=timeout)
        for block in batch:
            self._taken(block.size)
        return done.output_bytes

    async def _as_frames(self, batch: list[Block], before: bytes, after: bytes, timeout: float | None) -> bytes:
        frames: list[bytes] = []
        ends: dict[int, int] = {}
        for block in batch:
            frames += encodings.frames_of(block, sizes.frame(self._abilities))
            ends[len(frames) - 1] = block.size

        def taken(frame: int) -> None:
            if frame in ends:
                self._taken(ends[frame])

        space = room(self._abilities.window, self._errand.standing.options.communication.chunk)
        feed = Feed(frames, space, taken)
        output = bytearray()

        def answer(channel: Channel, data: bytes) -> None:
            output.extend(data)
            feed.answer(channel, data)

        code = b"%s%s['r'](%d,%d)\n%s" % (before, self._call, len(frames), feed.piece, after)
        await self._errand.converse(code, answer, timeout=timeout)
        return bytes(output)
