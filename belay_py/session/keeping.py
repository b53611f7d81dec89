"""The seam between a session and the manager that keeps it: who may use the board, and who connects it.

A session of its own has no keeper; its turn is its own, and it connects when it is told to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from belay_py.session.group import Turns

if TYPE_CHECKING:
    from belay_py.events import SessionEvent
    from belay_py.session.session import DeviceSession


class Keeper(Protocol):
    """What keeps a session: its `Turn` is the keeper's to give."""

    def take(self) -> bool:
        """Give the board to an operation, if it is free; return whether it was."""

    async def wait(self, deadline: float) -> None:
        """Give the board to an operation when it is free. Raises `DeviceBusy` at the deadline."""

    def release(self) -> None:
        """Take the board back."""

    async def reopen(self, deadline: float) -> None:
        """Connect a session whose board is wanted and not there; the caller has the turn.

        Raises what connecting raises. Returns without having done anything where the session is not to be connected.
        """

    def before_connect(self) -> None:
        """Learn that the session is about to be connected; say now what is known of its board."""

    async def set_up(self, deadline: float) -> None:
        """Prepare a board that was just connected, with the session's setups too. Raises, when it is not to be used."""

    @property
    def prepares(self) -> bool:
        """Whether `set_up` puts anything on a board."""

    def note(self, event: SessionEvent) -> None:
        """Learn of an event."""

    @property
    def wants_changes(self) -> bool:
        """Whether `note` is to be told each change of state, two for each operation."""


def keep(session: DeviceSession, keeper: Keeper) -> None:
    """Put a session that was not used yet under a keeper."""
    standing = session._standing  # noqa: SLF001  the two halves of one seam
    standing.keeper = keeper
    standing.turn = Turns(keeper)
    standing.listeners.keeper = keeper
