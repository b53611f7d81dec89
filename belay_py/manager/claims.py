"""What a plan is about: boards, the claims on them, and what follows from a decision. Pure values."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

NO_TAGS: Final[frozenset[str]] = frozenset()


class Kind(Enum):
    """What a claim is for."""

    LEASE = "a lease"
    CALL = "a call outside of leases"
    UPKEEP = "the manager itself"
    CLOSING = "the manager, which closes it"


# Up to Python 3.11, a member of an Enum costs as much as a call each time that its class is asked for it.
LEASE, CALL, UPKEEP, CLOSING = Kind
USES: Final = (LEASE, CALL)
"""The claims of others than the manager."""


@dataclass(slots=True, eq=False)
class Place:
    """One board: who has it, and who waits for it."""

    key: str
    tags: frozenset[str] = frozenset()
    pinned: bool = False
    barred: bool = False
    """Whether only the manager itself may have it."""
    shunned: bool = False
    """Whether claims by tags do without it as long as enough others fit: it did not work of late."""
    open: bool = False
    holder: Claim | None = None
    last_used: float = 0.0
    queue: OrderedDict[int, Claim] = field(default_factory=OrderedDict)

    @property
    def occupies(self) -> bool:
        """Whether it takes a slot."""
        return self.open or self.holder is not None


class Claim:
    """What somebody wants: the boards of ``keys``, or ``count`` boards with all of ``tags``.

    No dataclass: each use of a board makes one, and what it does not say costs nothing as an attribute of the class.
    """

    tags = NO_TAGS
    count = 1
    holder = ""
    """Who it is, for people."""
    number = 0
    since = 0.0
    granted: tuple[str, ...] = ()
    """The boards that it got, in the order of ``keys``."""
    held: tuple[str, ...] = ()
    """Those that it still has."""
    ticket: Any = None
    """The caller's own."""

    def __init__(
        self, kind: Kind, keys: tuple[str, ...] = (), tags: frozenset[str] = NO_TAGS, count: int = 1, holder: str = ""
    ) -> None:
        self.kind = kind
        self.keys = keys
        if tags:
            self.tags = tags
        if count != 1:
            self.count = count
        if holder:
            self.holder = holder

    @property
    def wants(self) -> str:
        """What it waits for, for people."""
        if self.keys:
            return " and ".join(self.keys)
        boards = "a board" if self.count == 1 else f"{self.count} boards"
        return f"{boards} with the tags {', '.join(sorted(self.tags))}" if self.tags else boards


@dataclass(frozen=True, slots=True)
class Grant:
    """A claim that waited has its boards now."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Close:
    """A board has to be closed, to make room; `claim` holds it meanwhile and is to be released then."""

    key: str
    claim: Claim


Effect: TypeAlias = Grant | Close
Effects: TypeAlias = "list[Effect]"


class Refused(Exception):
    """A claim that can not even wait. ``why`` is for the caller to put into words."""

    def __init__(self, why: Literal["closed", "unknown", "nobody fits", "too many waiting", "more than max"]) -> None:
        super().__init__(why)
        self.why = why
