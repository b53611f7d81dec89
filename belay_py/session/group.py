"""A group of operations with nobody's in between: the session's turn, lent to whoever runs inside a ``with`` block.

Who belongs to a group travels in a context variable, so tasks that are started inside the block belong to it too; among
themselves they queue as everybody does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from belay_py.session.turn import Turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_memberships: ContextVar[tuple[Group, ...]] = ContextVar("belay_py_groups", default=())


class Gate(Protocol):
    """What gives a session's turn: a `Turn` of its own, or a manager."""

    @property
    def take(self) -> Callable[[], bool]:
        """Take the turn if it is free; return whether it was."""

    async def wait(self, deadline: float) -> None:
        """Take the turn, or queue for it until ``deadline``."""

    def release(self) -> None:
        """Give the turn on."""


class Turns:
    """Whose turn it is on a session, groups included. ``gate`` gives the turn of those who are in no group."""

    def __init__(self, gate: Gate | None = None) -> None:
        self._gate: Gate = gate or Turn()
        self._groups: list[Group] = []
        self.take = self._gate.take  # while a group is on, it holds the turn, and the free case stays one call

    async def wait(self, deadline: float) -> None:
        """Take the turn, or queue for it; a member of a group queues inside that. Raises `SessionTimeout`."""
        await self._of_caller().wait(deadline)

    def release(self) -> None:
        """Give the turn on. While a group is on, whoever held it was a member of the innermost one."""
        (self._groups[-1] if self._groups else self._gate).release()

    def _of_caller(self) -> Gate:
        memberships = _memberships.get()
        # By how the groups are nested: somebody may have joined the outer one after the inner one.
        mine: Iterator[Gate] = (group for group in reversed(self._groups) if group.is_open and group in memberships)
        return next(mine, self._gate)

    def group(self) -> Group:
        """A group that has not begun."""
        return Group(self)

    def enter(self, group: Group) -> None:
        """Begin a group whose maker has the turn."""
        self._groups.append(group)

    def leave(self, group: Group) -> None:
        """End a group and give the turn on."""
        if group in self._groups:
            self._groups.remove(group)
            self.release()

    def drop(self, group: Group) -> None:
        """End a group, whose maker goes on to have the turn."""
        if group in self._groups:
            self._groups.remove(group)

    def end_inside(self, outer: Group | None = None) -> None:
        """End the groups inside of one, or all: a block that goes on has the board to itself no more.

        Those that have the turn lent give it back by themselves.
        """
        first = self._groups.index(outer) + 1 if outer in self._groups else 0
        for group in reversed(self._groups[first:]):
            group.refuse()
            if not group.is_lent:
                group.end()

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[Group]:
        """Lend the turn, which the caller has, to the operations of a block; have it again afterwards."""
        group = Group(self)
        group.is_lent = True
        group.adopt()
        try:
            with group.membership():
                yield group
        finally:
            await group.give_back()

    def forget(self) -> None:
        """Free the turn, whoever had it or waited for it: they belonged to an event loop that is closed."""
        self._groups.clear()
        if isinstance(self._gate, Turn):
            self._gate = Turn()
            self.take = self._gate.take


class Group(Turn):
    """One group of operations, from `begin` to `end`: the turn inside of it, which its members take."""

    is_open = False
    """Whether members may still queue inside."""
    is_lent = False
    """Whether its maker goes on to have the turn when it ends."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def begin(self, deadline: float) -> None:
        """Wait for the session's turn and keep it. Raises `SessionTimeout`."""
        await self._turns.wait(deadline)
        self.adopt()

    def adopt(self) -> None:
        """Begin with a turn that the caller has."""
        self.is_open = True
        self._turns.enter(self)

    async def give_back(self) -> None:
        """End without giving the session's turn on, once the members' operations have ended.

        Those that wait are refused. Those that run are waited for: whoever may have left some behind has them stopped.
        A cancellation meanwhile comes after it, so that the turn has one owner at any time.
        """
        self.is_open = False
        self.refuse()
        cancelled: asyncio.CancelledError | None = None
        while not self.take():
            freed = asyncio.get_running_loop().create_future()
            self.when_free = functools.partial(_resolve, freed)
            try:
                await freed
            except asyncio.CancelledError as error:
                cancelled = error
        self._turns.drop(self)
        if cancelled is not None:
            raise cancelled

    @property
    def is_joined(self) -> bool:
        """Whether the running task is a member."""
        return self in _memberships.get()

    @contextlib.contextmanager
    def membership(self) -> Iterator[None]:
        """Make the running task, and the tasks that it starts in here, members."""
        if self.is_joined:
            yield
            return
        self.join()
        try:
            yield
        finally:
            self.leave()

    def join(self) -> None:
        """Make the running task a member, and the tasks that it starts from now on."""
        mine = _memberships.get()
        if mine:  # without those that are over: they may have been left in another task than this
            mine = tuple([group for group in mine if group.is_open])
        _memberships.set((*mine, self))

    def leave(self) -> None:
        """Let the running task be no member any more."""
        mine = _memberships.get()
        if mine:
            _memberships.set(() if mine == (self,) else tuple([group for group in mine if group is not self]))

    def end_inside(self) -> None:
        """End the groups that began inside of this one."""
        self._turns.end_inside(self)

    def end(self) -> None:
        """Give the session's turn on, at once or when the members' operations have ended. Any number of times."""
        if not self.is_open:
            return
        self.is_open = False
        if self.take():
            self._turns.leave(self)
        else:
            self.when_free = lambda: self._turns.leave(self)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def innermost() -> Group | None:
    """The group that whoever runs in this context joined last, if he is in any."""
    memberships = _memberships.get()
    return memberships[-1] if memberships else None


def leave_all_groups() -> None:
    """Make whoever runs in this context a member of none."""
    _memberships.set(())
