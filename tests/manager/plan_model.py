"""What a plan should do, the slow way: all claims and all boards are looked at anew after each change."""

from __future__ import annotations

from dataclasses import dataclass, field

from belay_py.manager.claims import Kind


@dataclass(eq=False)
class Board:
    key: str
    tags: frozenset[str]
    pinned: bool
    last_used: int
    barred: bool = False
    shunned: bool = False
    open: bool = False
    holder: Wish | None = None


@dataclass(eq=False)
class Wish:
    """A claim, as the model has it."""

    kind: Kind
    keys: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()
    count: int = 1
    got: list[str] = field(default_factory=list)
    has: set[str] = field(default_factory=set)


class Model:
    """The rules of `Plan`, by full scans in the order of arrival."""

    def __init__(self, max_open: int) -> None:
        self.max_open = max_open
        self.boards: dict[str, Board] = {}
        self.waiting: list[Wish] = []
        self.granted: list[Wish] = []
        """Those whose waiting has ended with boards, since the latest look."""
        self.evicted: list[str] = []
        """Boards that have to be closed, since the latest look."""

    @property
    def slots(self) -> int:
        return sum(board.open or board.holder is not None for board in self.boards.values())

    def fits(self, wish: Wish, board: Board) -> bool:
        return board.key in wish.keys if wish.keys else wish.tags <= board.tags

    def wants(self, wish: Wish, board: Board) -> bool:
        """Whether it fits, and is not one that the wish can do without."""
        if not self.fits(wish, board):
            return False
        if wish.keys or not board.shunned:
            return True
        others = [each for each in self.boards.values() if self.fits(wish, each) and not each.shunned]
        return sum(not each.barred for each in others) < wish.count

    def before(self, wish: Wish) -> list[Wish]:
        return self.waiting[: self.waiting.index(wish)] if wish in self.waiting else self.waiting

    def free(self, wish: Wish) -> list[Board]:
        """The boards that it would get, if there were slots; empty when boards are missing."""
        boards = [
            board
            for board in self.boards.values()
            if self.wants(wish, board)
            and board.holder is None
            and not board.barred
            and not any(self.wants(earlier, board) for earlier in self.before(wish))
        ]
        if wish.keys:
            return boards if len(boards) == len(wish.keys) else []
        boards.sort(key=lambda board: -board.last_used)
        boards.sort(key=lambda board: not board.open)
        return boards[: wish.count] if len(boards) >= wish.count else []

    def missing(self, wish: Wish) -> int:
        """Slots that are missing for it alone."""
        new = sum(not board.open for board in self.free(wish))
        return max(0, self.slots + new - self.max_open) if new else 0

    def starved(self) -> list[Wish]:
        """Those that wait for slots, in the order of arrival: what comes first comes before all others."""
        found: list[Wish] = []
        for wish in self.waiting:
            cold = any(not board.open for board in self.free(wish))
            if cold and (found or self.missing(wish)):
                found.append(wish)
        return found

    def grantable(self, wish: Wish) -> list[Board]:
        boards = self.free(wish)
        if any(not board.open for board in boards):
            earlier = self.before(wish)
            if self.missing(wish) or any(other in earlier for other in self.starved()):
                return []
        return boards

    def give(self, wish: Wish, boards: list[Board]) -> None:
        wish.got = list(wish.keys) or [board.key for board in boards]
        wish.has = set(wish.got)
        for board in boards:
            board.holder = wish

    def settle(self) -> None:
        """Serve all in the order of arrival, until there is nothing more to do for anybody."""
        while any(self.serve(wish) for wish in self.waiting):
            pass

    def serve(self, wish: Wish) -> bool:
        """Grant it, if it can be; have boards closed for it, if it is the first that needs that. Whether it was."""
        if boards := self.grantable(wish):
            self.waiting.remove(wish)
            self.give(wish, boards)
            self.granted.append(wish)
            return True
        if wish in self.starved()[:1]:
            self.evict_for(wish)
        return False

    def evict_for(self, wish: Wish) -> None:
        closing = sum(board.holder is not None and board.holder.kind is Kind.CLOSING for board in self.boards.values())
        idle = [
            board
            for board in self.boards.values()
            if board.open
            and board.holder is None
            and not board.pinned
            and board not in self.free(wish)
            and not any(self.wants(earlier, board) for earlier in [*self.before(wish), wish])
        ]
        idle.sort(key=lambda board: board.last_used)
        for board in idle[: max(0, self.missing(wish) - closing)]:
            board.holder = Wish(Kind.CLOSING, (board.key,), got=[board.key], has={board.key})
            self.evicted.append(board.key)

    def give_back(self, wish: Wish, key: str, now: int) -> None:
        wish.has.remove(key)
        board = self.boards[key]
        board.holder = None
        if wish.kind in (Kind.LEASE, Kind.CALL):
            board.last_used = now
