"""The plan against a model that is too slow and obviously right: who gets which board, and which are closed for it.

After each step the two agree on every board and every claim. The model grants whatever can be granted, so a claim that
waits in the plan although it could go on is found at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from belay_py.manager.claims import Claim, Close, Grant, Kind, Refused
from belay_py.manager.plan import Plan

from .plan_model import Board, Model, Wish

if TYPE_CHECKING:
    from belay_py.manager.claims import Effects

KEYS = "abcdefg"
TAGS = st.frozensets(st.sampled_from(["x", "y"]), max_size=2)
KINDS = st.sampled_from([Kind.LEASE, Kind.LEASE, Kind.CALL, Kind.UPKEEP])


class PlanMachine(RuleBasedStateMachine):
    """Both of them, and the pairs of claims and wishes."""

    @initialize(
        max_open=st.integers(1, 4),
        max_waiting=st.sampled_from([2, 1000, 1000, 1000]),
        boards=st.lists(st.tuples(TAGS, st.booleans()), min_size=2, max_size=6),
    )
    def begin(self, max_open: int, max_waiting: int, boards: list[tuple[frozenset[str], bool]]) -> None:
        self.plan = Plan(max_open=max_open, max_waiting=max_waiting)
        self.model = Model(max_open)
        self.max_waiting = max_waiting
        self.now = 0
        self.pairs: dict[int, tuple[Claim, Wish]] = {}
        for tags, pinned in boards:
            self.add(tags, pinned=pinned)

    # -- the two, side by side ----------------------------------------------------------------------------------

    def pair(self, claim: Claim, wish: Wish) -> None:
        self.pairs[id(claim)] = claim, wish

    def compare(self, effects: Effects) -> None:
        """Let the model settle, and compare what the plan wants done with what the model does."""
        self.model.settle()
        grants = [effect.claim for effect in effects if isinstance(effect, Grant)]
        assert len(grants) == len(set(map(id, grants))), "somebody was granted twice"
        assert {id(self.pairs[id(claim)][1]) for claim in grants} == {id(wish) for wish in self.model.granted}
        closings = {effect.key: effect.claim for effect in effects if isinstance(effect, Close)}
        assert list(closings) == self.model.evicted
        for key, claim in closings.items():
            wish = self.model.boards[key].holder
            assert wish is not None
            self.pair(claim, wish)
        self.model.granted.clear()
        self.model.evicted.clear()

    def holders(self) -> list[tuple[Claim, str]]:
        return [(place.holder, key) for key, place in self.plan.places.items() if place.holder is not None]

    def tick(self, data: st.DataObject) -> int:
        self.now += data.draw(st.integers(0, 1))
        return self.now

    # -- boards -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.plan.places) < len(KEYS))
    @rule(tags=TAGS, pinned=st.sampled_from([False, False, True]))
    def add(self, tags: frozenset[str], *, pinned: bool) -> None:
        key = next(key for key in KEYS if key not in self.plan.places)
        self.model.boards[key] = Board(key, tags, pinned, self.now)
        self.compare(self.plan.add(key, tags=tags, pinned=pinned, now=self.now))

    @precondition(lambda self: any(place.holder is None for place in self.plan.places.values()))
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([key for key, place in self.plan.places.items() if place.holder is None]))
        place = self.plan.places[key]
        lost, effects = self.plan.drop(key)
        assert not self.plan.take(place, Claim(Kind.UPKEEP, (key,)), self.now), "nobody gets what is gone"
        del self.model.boards[key]
        self.lose(lost, key)
        self.compare(effects)

    @precondition(lambda self: self.plan.places)
    @rule(data=st.data())
    def bar(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.plan.places)))
        lost, effects = self.plan.bar(key)
        self.model.boards[key].barred = True
        self.lose(lost, key)
        self.compare(effects)

    def lose(self, lost: list[Claim], key: str) -> None:
        """Those who wait for a board by its name have nothing to wait for any more; others may have their boards."""
        wishes = [wish for wish in self.model.waiting if key in wish.keys]
        assert {id(self.pairs[id(claim)][1]) for claim in lost} == set(map(id, wishes))
        for wish in wishes:
            self.model.waiting.remove(wish)

    @precondition(lambda self: any(place.barred for place in self.plan.places.values()))
    @rule(data=st.data())
    def unbar(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([key for key, place in self.plan.places.items() if place.barred]))
        self.model.boards[key].barred = False
        self.compare(self.plan.unbar(key))

    @precondition(lambda self: self.plan.places)
    @rule(data=st.data())
    def shun(self, data: st.DataObject) -> None:
        """It does not work, or it does again."""
        key = data.draw(st.sampled_from(list(self.plan.places)))
        board = self.model.boards[key]
        board.shunned = not board.shunned
        self.compare(self.plan.shun(key, shunned=board.shunned))

    @precondition(lambda self: self.holders())
    @rule(data=st.data())
    def opened(self, data: st.DataObject) -> None:
        _, key = data.draw(st.sampled_from(self.holders()))
        self.model.boards[key].open = True
        self.plan.opened(key)
        self.compare([])

    @precondition(lambda self: any(place.open for place in self.plan.places.values()))
    @rule(data=st.data())
    def closed(self, data: st.DataObject) -> None:
        """It lost its link, or its closing has come to its end."""
        key = data.draw(st.sampled_from([key for key, place in self.plan.places.items() if place.open]))
        self.model.boards[key].open = False
        self.compare(self.plan.closed(key))

    @precondition(lambda self: self.plan.places)
    @rule(data=st.data())
    def touch(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.plan.places)))
        self.model.boards[key].last_used = self.tick(data)
        self.plan.touch(key, self.now)

    # -- claims -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.plan.places)
    @rule(data=st.data(), kind=KINDS, count=st.sampled_from([1, 1, 1, 2, 2, 3]))
    def request_by_name(self, data: st.DataObject, kind: Kind, count: int) -> None:
        keys = data.draw(st.lists(st.sampled_from(list(KEYS[:-1])), min_size=1, max_size=count, unique=True))
        self.request(Claim(kind, tuple(keys)), Wish(kind, tuple(keys)))

    @rule(tags=TAGS, count=st.sampled_from([1, 1, 2, 3]), kind=KINDS)
    def request_by_tags(self, tags: frozenset[str], count: int, kind: Kind) -> None:
        self.request(Claim(kind, tags=tags, count=count), Wish(kind, tags=tags, count=count))

    def request(self, claim: Claim, wish: Wish) -> None:
        self.pair(claim, wish)
        try:
            effects = self.plan.request(claim, self.now)
        except Refused as refused:
            self.check_refusal(wish, refused)
            return
        self.model.waiting.append(wish)
        self.model.settle()
        if wish in self.model.granted:  # at once, which is no effect
            self.model.granted.remove(wish)
            assert claim.granted
        else:
            assert not claim.granted
            assert len(self.model.waiting) <= self.max_waiting
        self.compare(effects)

    def check_refusal(self, wish: Wish, refused: Refused) -> None:
        assert self.refusal(wish) == refused.why

    def refusal(self, wish: Wish) -> str:
        if self.plan.draining and wish.kind is not Kind.UPKEEP:
            return "closed"
        fitting = [board for board in self.model.boards.values() if self.model.fits(wish, board)]
        if len(fitting) < (len(wish.keys) or wish.count):
            return "unknown" if wish.keys else "nobody fits"
        if (len(wish.keys) or wish.count) > self.model.max_open:
            return "more than max"
        assert not self.model.grantable(wish)
        assert len(self.model.waiting) == self.max_waiting
        return "too many waiting"

    @precondition(lambda self: self.plan.places)
    @rule(data=st.data(), kind=KINDS)
    def take(self, data: st.DataObject, kind: Kind) -> None:
        key = data.draw(st.sampled_from(list(self.plan.places)))
        claim, wish = Claim(kind, (key,)), Wish(kind, (key,))
        board = self.model.boards[key]
        mine = kind is Kind.UPKEEP
        if board.barred:  # nobody else can have it, so the manager passes nobody
            expected = mine and board.holder is None
            expected &= board.open or (self.model.slots < self.model.max_open and not self.model.starved())
        else:
            expected = bool(self.model.grantable(wish)) and (mine or not self.plan.draining)
        assert self.plan.take(self.plan.places[key], claim, self.now) == expected
        if expected:
            self.pair(claim, wish)
            self.model.give(wish, [board])

    @precondition(lambda self: self.plan.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(list(self.plan.waiting.values())))
        self.model.waiting.remove(self.pairs[id(claim)][1])
        self.compare(self.plan.give_up(claim, self.now))
        assert self.plan.give_up(claim, self.now) == []

    @precondition(lambda self: self.holders())
    @rule(data=st.data())
    def give_up_what_was_granted(self, data: st.DataObject) -> None:
        claim, _ = data.draw(st.sampled_from(self.holders()))
        wish = self.pairs[id(claim)][1]
        now = self.tick(data)
        effects = self.plan.give_up(claim, now)
        for key in sorted(wish.has):
            self.model.give_back(wish, key, now)
            self.model.settle()
        self.compare(effects)

    @precondition(lambda self: self.holders())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim, key = data.draw(st.sampled_from(self.holders()))
        now = self.tick(data)
        self.model.give_back(self.pairs[id(claim)][1], key, now)
        self.compare(self.plan.release(claim, key, now))
        assert self.plan.release(claim, key, now + 100) == []

    @precondition(lambda self: any(claim.kind is not Kind.CLOSING for claim, _ in self.holders()))
    @rule(data=st.data(), kind=st.sampled_from([Kind.CLOSING, Kind.UPKEEP]))
    def keep(self, data: st.DataObject, kind: Kind) -> None:
        """What is being closed is never kept: somebody waits for its slot."""
        held = [(claim, key) for claim, key in self.holders() if claim.kind is not Kind.CLOSING]
        claim, key = data.draw(st.sampled_from(held))
        now = self.tick(data)
        self.model.give_back(self.pairs[id(claim)][1], key, now)
        wish = Wish(kind, (key,), got=[key], has={key})
        self.model.boards[key].holder = wish
        self.pair(self.plan.keep(claim, key, kind, now), wish)
        self.compare([])

    @precondition(lambda self: not self.plan.draining)
    @rule(really=st.integers(0, 9))
    def drain(self, really: int) -> None:
        if really:  # else there would be little to see
            return
        lost = self.plan.drain()
        assert [self.pairs[id(claim)][1] for claim in lost] == self.model.waiting
        self.model.waiting.clear()
        self.compare([])

    # -- what must hold -----------------------------------------------------------------------------------------

    @invariant()
    def they_agree(self) -> None:
        if not hasattr(self, "plan"):
            return
        plan, model = self.plan, self.model
        assert list(plan.places) == list(model.boards)
        for place, board in zip(plan.places.values(), model.boards.values(), strict=True):
            assert (place.open, place.barred, place.last_used) == (board.open, board.barred, board.last_used)
            holder = None if place.holder is None else self.pairs[id(place.holder)][1]
            assert holder is board.holder, f"{place.key} has another holder"
        assert [self.pairs[id(claim)][1] for claim in plan.waiting.values()] == model.waiting

    @invariant()
    def the_books_are_in_order(self) -> None:
        if not hasattr(self, "plan"):
            return
        plan = self.plan
        assert plan.slots == sum(place.open or place.holder is not None for place in plan.places.values())
        assert plan.slots <= plan.max_open
        held = self.holders()
        assert plan.granted == plan.released + len(held)
        assert len({id(claim) for claim, _ in held}) == len(list(plan.claims()))
        for claim, wish in self.pairs.values():
            assert set(claim.held) == {key for holder, key in held if holder is claim} == wish.has
            assert sorted(claim.granted) == sorted(wish.got), "all or none"
        for place in plan.places.values():
            assert list(place.queue) == sorted(place.queue)
            assert set(place.queue) == {
                claim.number
                for claim in plan.waiting.values()
                if (place.key in claim.keys if claim.keys else claim.tags <= place.tags)
            }


TestPlanMachine = PlanMachine.TestCase
TestPlanMachine.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
