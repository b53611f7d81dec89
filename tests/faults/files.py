"""Cuts in the middle of putting and getting a file: old or new, never a mixture, and resumed. Run by hand:

    python -m tests.faults.files [--cuts N] [--seed N] [--encoding NAME] [--overrun drop|stall]

Each round puts a file over another one and cuts the wire after a random number of bytes, in either direction; in every
third round the board also loses its power then. What is on the board is compared, and the same put is done again.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import hashlib
import itertools
import random
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from belay_py import BelayError, DeviceSession, Disconnected, OutcomeUnknown
from belay_py.session.files.transfer import ENCODINGS
from belay_py.testing import Cut, FaultyWire
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from belay_py.session.files.transfer import Encoding

SIZE = 20_000
PATH = "/data/log.bin"


@dataclasses.dataclass
class Tally:
    """What became of the rounds."""

    cuts: int = 0
    left_old: int = 0
    left_new: int = 0
    ended_before: int = 0
    """Puts that had ended before the place of the cut was reached."""
    resumed: int = 0
    saved: int = 0
    """Bytes that did not go a second time."""
    lost_power: int = 0
    gets_cut: int = 0
    gets_whole: int = 0
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def some_content(chance: random.Random) -> bytes:
    """Return bytes that no other call returns, random or like text."""
    size = chance.randrange(SIZE // 2, SIZE)
    if chance.random() < 0.5:
        return chance.randbytes(size)
    return b"".join(b"%d: %d\n" % (i, chance.randrange(1000)) for i in range(size // 8))


async def hash_on_board(session: DeviceSession) -> str:
    """Return the hash of the file as the board reads it, with no code of what is tested."""
    code = f"import hashlib,binascii\nwith open({PATH!r},'rb') as f:h=hashlib.sha256(f.read())\n"
    return (await session.execute(code + "print(binascii.hexlify(h.digest()).decode())")).output.strip()


class Campaign:
    """One board, and what is cut between it and a session."""

    def __init__(self, seed: int, encoding: Encoding | None, overrun: Literal["stall", "drop"] = "stall") -> None:
        self.chance = random.Random(seed)
        self.encoding = encoding
        self.tally = Tally()
        self._overrun = overrun

    async def run(self, cuts: int) -> Tally:
        """Make rounds until so many puts were cut; raise AssertionError where one went wrong."""
        with tempfile.TemporaryDirectory() as folder:
            self._folder = Path(folder)
            async with (
                VirtualBoard(overrun=self._overrun) as self._board,
                FaultyWire(self._board.port) as self._wire,
                DeviceSession(self._wire.port, enable_auto_reconnect=False) as self._session,
            ):
                await self._session.execute("import os\nos.mkdir('/data')")
                self._content = some_content(self.chance)
                await self._session.files.put(self._content, PATH)
                for number in itertools.count():
                    if self.tally.cuts >= cuts:
                        break
                    await self._round(number)
        return self.tally

    async def _round(self, number: int) -> None:
        tally = self.tally
        new = some_content(self.chance)
        self._arm(self._weight(new))
        was_cut = await self._until_cut(self._put(new), lose_power=number % 3 == 2)
        tally.cuts += was_cut
        tally.ended_before += not was_cut
        found = await hash_on_board(self._session)
        allowed = {hashlib.sha256(content).hexdigest(): content for content in (self._content, new)}
        assert found in allowed, f"round {number}: a mixture"
        if was_cut:
            tally.left_old += allowed[found] is self._content
            tally.left_new += allowed[found] is new
        done = await self._session.files.put(new, PATH, encoding=self.encoding)
        tally.resumed += done.resumed_from > 0
        tally.saved += done.resumed_from
        assert await hash_on_board(self._session) == hashlib.sha256(new).hexdigest(), f"round {number}: not identical"
        names = await self._session.evaluate("__import__('os').listdir('/data')")
        assert names == [PATH.rpartition("/")[2]], f"round {number}: {names}"
        self._content = new
        if number % 5 == 4:
            await self._get()

    async def _get(self) -> None:
        target = self._folder / "got"
        target.write_bytes(b"old")
        self._arm(len(self._content) + 200)
        was_cut = await self._until_cut(self._session.files.get(PATH, target), lose_power=False)
        assert target.read_bytes() in ((b"old", self._content) if was_cut else (self._content,))
        assert [each.name for each in self._folder.iterdir()] == ["got"]
        assert await self._session.files.get(PATH) == self._content
        self.tally.gets_cut += was_cut
        self.tally.gets_whole += not was_cut

    def _put(self, content: bytes):  # type: ignore[no-untyped-def]  # a coroutine of what put returns
        return self._session.files.put(content, PATH, encoding=self.encoding)

    def _weight(self, content: bytes) -> int:
        """Return roughly how many bytes the board is sent for some content."""
        if self.encoding is None or self.encoding.startswith("deflate"):
            content = zlib.compress(content, 9)
        return len(content) + 600

    def _arm(self, most: int) -> None:
        if self.chance.random() < 0.8:
            lane, place = self._wire.to_board, self.chance.randrange(1, most)
        else:
            lane, place = self._wire.to_host, self.chance.randrange(1, most // 40)
        lane.at(lane.passed + place, Cut())

    async def _until_cut(self, work, *, lose_power: bool) -> bool:  # type: ignore[no-untyped-def]  # any coroutine
        try:
            await work
        except (Disconnected, OutcomeUnknown) as error:
            self.tally.errors[type(error).__name__] += 1
        else:
            if self._wire.to_board.armed or self._wire.to_host.armed:
                self._wire.to_board.clear()
                self._wire.to_host.clear()
                return False
            # The very last byte was the place: all has come, and the cut with it.
        await self._wire.until_cut()
        if lose_power:
            self.tally.lost_power += 1
            await self._board.reset()
        await self._wire.replug()
        await self._session.reconnect()
        return True


def main() -> None:
    """Run what the command line asks for, and print the tally."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoding", choices=ENCODINGS)
    parser.add_argument("--overrun", choices=("stall", "drop"), default="stall")
    options = parser.parse_args()
    campaign = Campaign(options.seed, options.encoding, options.overrun)
    try:
        asyncio.run(campaign.run(options.cuts))
    except (AssertionError, BelayError):
        sys.stdout.write(f"{campaign.tally}\n")
        raise
    for field in dataclasses.fields(Tally):
        sys.stdout.write(f"{field.name:14} {getattr(campaign.tally, field.name)}\n")


if __name__ == "__main__":
    main()
