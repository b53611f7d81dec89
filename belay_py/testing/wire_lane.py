"""One direction of a faulty wire: bytes go in with the time, come out when they are due, and meet faults on the way.

Pure: it is the same behind pseudo-terminals, sockets and in memory. Faults act where bytes come off the line and take
no time there. Chance is drawn byte by byte from a seed, so it does not depend on how reads split the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from belay_py.errors import SettingsError
from belay_py.testing.wire_faults import Corrupt, Cut, Drop, Duplicate, Fault, Stall, changed
from belay_py.testing.wire_line import SECOND, Line

ROOM = 4096
"""Bytes that one direction holds before it takes no more, as much as a serial driver's buffer does."""


@dataclass(frozen=True, slots=True)
class Model:
    """How a wire is: seconds, and odds for each byte. Both directions have the same, each its own chances."""

    baudrate: int | None = None
    latency: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    corrupt: float = 0.0
    duplicate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        rate = self.baudrate
        if rate is not None and (not isinstance(rate, int) or isinstance(rate, bool) or rate < 1):
            raise SettingsError(
                f"a wire's baudrate is a whole number such as 115200, or None for no limit, not {rate!r}"
            )
        for name in ("latency", "jitter"):
            if not _is_within(value := getattr(self, name), 3600):
                raise SettingsError(f"a wire's {name} is 0 to 3600 seconds, not {value!r}")
        for name in ("drop", "corrupt", "duplicate"):
            if not _is_within(value := getattr(self, name), 1):
                raise SettingsError(f"the odds to {name} a byte are 0 to 1, not {value!r}")
        if not isinstance(self.seed, int):
            raise SettingsError(f"a wire's seed is a whole number, not {self.seed!r}")


def _is_within(value: object, most: float) -> bool:
    return isinstance(value, int | float) and 0 <= value <= most


class Lane:
    """One direction. ``name`` is ``to_board`` or ``to_host``; all times are whole nanoseconds."""

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self._model = model
        self._has_odds = bool(model.drop or model.corrupt or model.duplicate)
        self._faults: dict[int, list[Fault]] = {}
        self.reset()

    def reset(self) -> None:
        """Begin anew: nothing under way, nothing counted, no fault, and the same chances as the first time."""
        # Two sources: with or without jitter, the same bytes are dropped.
        seed = f"{self._model.seed} {self.name}"
        self._chance = Random(seed)  # noqa: S311  repeatable is the point
        latency, jitter = round(self._model.latency * SECOND), round(self._model.jitter * SECOND)
        self._line = Line(self._model.baudrate, latency, jitter, Random(f"{seed} jitter"))  # noqa: S311  as above
        self._faults.clear()
        self.restart()

    def restart(self) -> None:
        """Begin to count at zero, with nothing under way and no stall. Armed faults stay."""
        self._line.clear()
        self._queue = bytearray()
        self.out = bytearray()
        """What is to be written now."""
        self.taken = 0
        """Bytes that came off the line, whatever became of them: what places of faults are counted in."""
        self.passed = 0
        """Bytes that were delivered."""
        self.stalled = False
        self.lost = False
        """Whether all that goes in vanishes."""
        self._ends = False

    # -- faults

    def at(self, place: int, fault: Fault) -> None:
        """Let ``fault`` happen after ``place`` bytes. Raises `SettingsError` when more have passed."""
        if place < self.taken:
            raise SettingsError(
                f"byte {place} {self.name.replace('_', ' the ')} has passed already ({self.taken} have); "
                f"name a later one, or reset() the wire"
            )
        for byte in range(place, place + getattr(fault, "count", 1)):
            self._faults.setdefault(byte, []).append(fault)

    def clear(self) -> None:
        """Forget the faults that have not happened, and end a stall."""
        self._faults.clear()
        self.stalled = False

    @property
    def armed(self) -> list[int]:
        """The places of the faults that have not happened."""
        return sorted(self._faults)

    @property
    def is_over(self) -> bool:
        """Whether a cut was reached, and all before it was delivered."""
        return self._ends and not self.out

    # -- bytes

    @property
    def room(self) -> int:
        """How many bytes may come now."""
        return 0 if self._ends else ROOM - len(self._queue) - len(self.out)

    def accept(self, data: bytes, now: int) -> None:
        """Take bytes from the sender."""
        if not self.lost:
            self._queue += data
            self._line.accept(len(data), now)

    def advance(self, now: int) -> None:
        """Move what has arrived to ``out``."""
        arrived = self._line.arrived(now)
        while arrived and not self.stalled and not self._ends:
            here = self._faults.get(self.taken, [])
            if self._halts(here):
                continue
            count = 1
            if not here and not self._has_odds:
                count = min([arrived, *(place - self.taken for place in self._faults)])
                self.out += self._queue[:count]
            else:
                self._faults.pop(self.taken, None)
                self.out += changed(self._queue[0], here, *self._misfortune())
            del self._queue[:count]
            self._line.take(count)
            self.taken += count
            arrived -= count
            # At once, not at the next byte, which may never come.
            self._halts(self._faults.get(self.taken, []))

    def _halts(self, here: list[Fault]) -> bool:
        for fault in here:
            if isinstance(fault, (Cut, Stall)):
                here.remove(fault)
                if not here:
                    del self._faults[self.taken]
                if isinstance(fault, Cut):
                    self._ends = True
                else:
                    self.stalled = True
                return True
        return False

    def _misfortune(self) -> list[Fault]:
        if not self._has_odds:
            return []
        model, chance = self._model, self._chance.random
        # Always three draws and a bit, so that one probability does not change what the others hit.
        drop, corrupt, duplicate, bit = chance(), chance(), chance(), self._chance.randrange(8)
        found: list[Fault] = [Drop()] if drop < model.drop else []
        if corrupt < model.corrupt:
            found.append(Corrupt(1 << bit))
        if duplicate < model.duplicate:
            found.append(Duplicate())
        return found

    def delivered(self, count: int) -> None:
        """The first ``count`` bytes of ``out`` were written."""
        del self.out[:count]
        self.passed += count

    def vanish(self) -> None:
        """Lose what is under way, and all that comes, without a word."""
        self.lost = True
        self.drop_all()

    def drop_all(self) -> None:
        """Lose what is under way."""
        self._line.clear()
        self._queue.clear()
        self.out.clear()

    def next_look(self, now: int, pause: int) -> int | None:
        """When `advance` will have something to do, if nothing else happens."""
        return None if self.stalled or self._ends else self._line.next_look(now, pause)

    def look(self) -> dict[str, Any]:
        """How it is, for another process."""
        return {"passed": self.passed, "taken": self.taken, "stalled": self.stalled, "armed": self.armed}
