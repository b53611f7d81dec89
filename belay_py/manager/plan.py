"""Who gets which board next: every decision of a manager, as functions of what is asked for and of the time.

Nothing here waits, so nothing can be cut off half-way: a claim is granted, queued or refused before the call returns,
and what the caller has to do about others comes back as effects. The rules:

- A board has one holder at most. Those who wait for one board are served in the order in which they came, and nobody
  who comes later passes them. Claims on several boards are granted whole or not at all.
- A board that is open, or held, takes one of ``max_open`` slots. When there is none, the board that was unused for
  longest is closed, unless it is pinned; those who wait for a slot are served in their order.
- Claims by tags do without boards that are shunned, since they did not work of late, while enough others fit: a board
  that cannot be connected is free again at once, and would draw one claim after the other and fail them all.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from typing import TYPE_CHECKING

from belay_py.manager.claims import USES, Claim, Close, Effects, Grant, Kind, Place, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Plan:
    """The boards of one manager and the claims on them."""

    def __init__(self, *, max_open: int, max_waiting: int) -> None:
        self.max_open = max_open
        self.max_waiting = max_waiting
        self.places: dict[str, Place] = {}
        self.waiting: OrderedDict[int, Claim] = OrderedDict()
        self.draining = False
        self.slots = 0
        """Boards that are open or held."""
        self.granted = 0
        self.released = 0
        """Counted by board."""
        self._numbers = 0
        self._starved: list[int] = []  # numbers of claims that wait for a slot and nothing else, sorted
        self._closings = 0

    # -- boards -------------------------------------------------------------------------------------------------

    def add(self, key: str, *, tags: frozenset[str] = frozenset(), pinned: bool = False, now: float) -> Effects:
        """Make a board known."""
        place = self.places[key] = Place(key, tags, pinned, last_used=now)
        for claim in self.waiting.values():
            if not claim.keys and claim.tags <= tags:
                place.queue[claim.number] = claim
        return self._advance([place, *self._shunned()])

    def drop(self, key: str) -> tuple[list[Claim], Effects]:
        """Forget a board that nobody holds; return the claims on it, which can not be granted any more."""
        place = self.places.pop(key)
        if place.occupies:
            self.slots -= 1
        return self._refuse(place)

    def bar(self, key: str) -> tuple[list[Claim], Effects]:
        """Give a board to nobody but the manager; return the claims on it by name, which are given up."""
        place = self.places[key]
        place.barred = True
        return self._refuse(place)

    def unbar(self, key: str) -> Effects:
        """Give a board to everybody again."""
        place = self.places[key]
        place.barred = False
        return self._advance([place, *self._shunned()])

    def shun(self, key: str, *, shunned: bool) -> Effects:
        """Have claims by tags do without a board while enough others fit; or no longer."""
        place = self.places[key]
        place.shunned = shunned
        return self._advance([place, *self._shunned()])

    def opened(self, key: str) -> None:
        """Note that a board is connected; its holder has the slot already."""
        place = self.places[key]
        if not place.occupies:
            self.slots += 1
        place.open = True

    def closed(self, key: str) -> Effects:
        """Note that a board is not connected any more."""
        place = self.places[key]
        was_open, place.open = place.open, False
        if place.holder is not None or not was_open:
            return []
        self.slots -= 1
        return self._advance([place])

    def touch(self, key: str, now: float) -> None:
        """Note that a board was used."""
        self.places[key].last_used = now

    # -- claims -------------------------------------------------------------------------------------------------

    def request(self, claim: Claim, now: float) -> Effects:
        """Grant a claim, which ``claim.granted`` tells, or queue it. Raises `Refused`."""
        if self.draining and claim.kind is not Kind.UPKEEP:
            raise Refused("closed")
        fitting = self._fitting(claim)
        self._numbers += 1
        claim.number, claim.since = self._numbers, now
        chosen = self._free(claim, fitting)
        if chosen and not self._slots_missing(claim, chosen):
            self._grant(claim, chosen)
            return []
        if len(self.waiting) >= self.max_waiting:
            raise Refused("too many waiting")
        self.waiting[claim.number] = claim
        for place in fitting:
            place.queue[claim.number] = claim
        return self._starve(claim, chosen) if chosen else []

    def take(self, place: Place, claim: Claim, now: float) -> bool:
        """Grant a claim on one board if that takes nothing from anybody; return whether it did."""
        mine = claim.kind is Kind.UPKEEP
        if place.holder is not None or (self.draining and not mine):
            return False
        if place.key not in self.places or self.places[place.key] is not place:
            return False  # it was dropped meanwhile
        # Those who wait for a barred board cannot have it, so the manager passes nobody.
        if (not mine) if place.barred else (place.queue and self._first(place)):
            return False
        if not place.open and (self._starved or self.slots >= self.max_open):
            return False
        claim.since = now
        if not place.open:
            self.slots += 1
        self._hand(claim, place)
        return True

    def give_up(self, claim: Claim, now: float) -> Effects:
        """Withdraw a claim, whether it waits or was granted in this very moment."""
        if claim.number in self.waiting:
            return self._advance(self._unqueue(claim))
        effects: Effects = []
        for key in sorted(claim.held):
            effects += self.release(claim, key, now)
        return effects

    def release(self, claim: Claim, key: str, now: float) -> Effects:
        """Take a board back. Nothing happens where the claim does not hold it any more."""
        if key not in claim.held:
            return []
        place = self.places[key]
        self._take_back(claim, place, now)
        if not place.open:
            self.slots -= 1
        elif not place.queue and not self._starved:
            return []
        return self._advance([place])

    def keep(self, claim: Claim, key: str, kind: Kind, now: float) -> Claim:
        """Hand a board from a claim to the manager itself, which nobody can come before."""
        place = self.places[key]
        self._take_back(claim, place, now)
        kept = Claim(kind, (key,))
        kept.since = now
        self._hand(kept, place)
        self._closings += kind is Kind.CLOSING
        return kept

    def drain(self) -> list[Claim]:
        """Refuse every claim from now on; return those that waited."""
        self.draining = True
        lost = list(self.waiting.values())
        self.waiting.clear()
        self._starved.clear()
        for place in self.places.values():
            place.queue.clear()
        return lost

    # -- what there is ------------------------------------------------------------------------------------------

    def claims(self) -> Iterator[Claim]:
        """The claims that hold something."""
        seen: set[int] = set()
        for place in self.places.values():
            if place.holder is not None and id(place.holder) not in seen:
                seen.add(id(place.holder))
                yield place.holder

    def tagged(self, tags: frozenset[str]) -> list[Place]:
        """The boards that have all of ``tags``."""
        return [place for place in self.places.values() if tags <= place.tags]

    def has_choice(self, claim: Claim) -> bool:
        """Whether enough boards have the tags of a claim without those that are shunned."""
        return sum(not place.shunned and not place.barred for place in self.tagged(claim.tags)) >= claim.count

    # -- internals ----------------------------------------------------------------------------------------------

    def _fitting(self, claim: Claim) -> list[Place]:
        if claim.keys:
            try:
                fitting = [self.places[key] for key in claim.keys]
            except KeyError:
                raise Refused("unknown") from None
            wanted = len(fitting)
        else:
            fitting, wanted = self.tagged(claim.tags), claim.count
            if len(fitting) < wanted:
                raise Refused("nobody fits")
        if wanted > self.max_open:
            raise Refused("more than max")
        return fitting

    def _free(self, claim: Claim, fitting: Iterable[Place]) -> tuple[Place, ...]:
        """The boards that the claim would get now, if there are slots; empty when it has to wait for boards."""
        free = [
            place
            for place in fitting
            if place.holder is None
            and not place.barred
            and (not place.queue or self._first(place) in (0, claim.number))
            and not self._does_without(claim, place)
        ]
        if claim.keys:
            return tuple(free) if len(free) == len(claim.keys) else ()
        if len(free) < claim.count:
            return ()
        # The warm ones first, and of those the one that was used last: the others may grow old and be closed.
        free.sort(key=lambda place: (not place.open, -place.last_used))
        return tuple(free[: claim.count])

    def _first(self, place: Place) -> int:
        """The number of the first claim that waits for a board and does not do without it; 0 if there is none."""
        if not place.shunned:
            return next(iter(place.queue), 0)
        return next((number for number, claim in place.queue.items() if not self._does_without(claim, place)), 0)

    def _does_without(self, claim: Claim, place: Place) -> bool:
        return place.shunned and not claim.keys and self.has_choice(claim)

    def _shunned(self) -> list[Place]:
        """The boards that somebody may get, or has to, now that there are more others, or fewer."""
        return [place for place in self.places.values() if place.shunned]

    def _slots_missing(self, claim: Claim, chosen: tuple[Place, ...]) -> int:
        """How many slots are missing; those who came before it have theirs first."""
        new = sum(not place.open for place in chosen)
        if new == 0:
            return 0
        if self._starved and self._starved[0] < claim.number:
            return new
        return max(0, self.slots + new - self.max_open)

    def _grant(self, claim: Claim, chosen: tuple[Place, ...]) -> None:
        for place in chosen:
            if not place.open:
                self.slots += 1
            place.holder = claim
        self.granted += len(chosen)
        claim.granted = claim.held = tuple([place.key for place in chosen])

    def _hand(self, claim: Claim, place: Place) -> None:
        """Grant a claim on one board, which has its slot."""
        place.holder = claim
        self.granted += 1
        claim.granted = claim.held = claim.keys

    def _take_back(self, claim: Claim, place: Place, now: float) -> None:
        claim.held = () if len(claim.held) == 1 else tuple([key for key in claim.held if key != place.key])
        place.holder = None
        self.released += 1
        if claim.kind in USES:
            place.last_used = now
        elif claim.kind is Kind.CLOSING:
            self._closings -= 1

    def _refuse(self, place: Place) -> tuple[list[Claim], Effects]:
        """Withdraw the claims on a board by name, which nobody gets any more; return them."""
        lost = [claim for claim in place.queue.values() if claim.keys]
        # All of them first: what the next one could have meanwhile, it can not have either.
        changed = [other for claim in lost for other in self._unqueue(claim)]
        return lost, self._advance([*changed, *self._shunned()])

    def _unqueue(self, claim: Claim) -> list[Place]:
        """Take a claim out of every queue; return the boards that others may get now."""
        del self.waiting[claim.number]
        if claim.number in self._starved:
            self._starved.remove(claim.number)
        keys = claim.keys or tuple(place.key for place in self.tagged(claim.tags))
        places = [self.places[key] for key in keys if key in self.places]
        for place in places:
            place.queue.pop(claim.number, None)
        return places

    def _advance(self, changed: list[Place]) -> Effects:
        """Grant what can be granted now that ``changed`` boards, or slots, may be free."""
        effects: Effects = []
        again = True
        while again:
            again = False
            candidates = {first for place in changed if (first := self._first(place))}
            candidates.update(self._starved[:1])
            for number in sorted(candidates):
                claim = self.waiting[number]
                chosen = self._free(claim, self._fitting(claim)) if self._still_fits(claim) else ()
                if not chosen:
                    if number in self._starved:  # what it could have had is gone; the next one may use the slots
                        self._starved.remove(number)
                        again = True
                elif self._slots_missing(claim, chosen):
                    effects += self._starve(claim, chosen)
                else:
                    # Behind it, others are first in their queues now.
                    changed = list({id(place): place for place in (*changed, *self._unqueue(claim))}.values())
                    self._grant(claim, chosen)
                    effects.append(Grant(claim))
                    again = True
                    break
        return effects

    def _still_fits(self, claim: Claim) -> bool:
        return bool(claim.keys) or len(self.tagged(claim.tags)) >= claim.count

    def _starve(self, claim: Claim, chosen: tuple[Place, ...]) -> Effects:
        """Let a claim wait for slots, and have boards closed for it, as many as are missing and can be."""
        if claim.number not in self._starved:
            insort(self._starved, claim.number)
        if self._starved[0] != claim.number:
            return []
        missing = self._slots_missing(claim, chosen) - self._closings
        idle = [
            place
            for place in self.places.values()
            if place.open
            and place.holder is None
            and not place.pinned
            and place not in chosen
            and not 0 < self._first(place) <= claim.number
        ]
        idle.sort(key=lambda place: place.last_used)
        effects: Effects = []
        for place in idle[: max(0, missing)]:
            closing = Claim(Kind.CLOSING, (place.key,))
            self._hand(closing, place)
            self._closings += 1
            effects.append(Close(place.key, closing))
        return effects
