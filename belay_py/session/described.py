"""What a session tells without asking its board: where it is in its life, what it has done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from belay_py.errors import SessionClosed
from belay_py.lifecycle import DeviceSessionState

if TYPE_CHECKING:
    from belay_py.session.guarded import Guard
    from belay_py.session.info import BoardInfo
    from belay_py.session.standing import Standing
    from belay_py.session.statistics import SessionStatistics

_State = DeviceSessionState
_LINKED: Final = (_State.CONNECTED, _State.ACTIVE, _State.IDLE)


class Described:
    """What of `DeviceSession` is there to look at."""

    _standing: Standing
    _guard: Guard | None

    @property
    def state(self) -> DeviceSessionState:
        """The session's state now."""
        return self._standing.lifecycle.state

    @property
    def port(self) -> str:
        """The port that is open, or was last: ``options.port``, or where its board was found instead."""
        return self._standing.whereabouts.port

    @property
    def generation(self) -> int:
        """Counts the connections of this session: 1 during the first."""
        return self._standing.generation

    @property
    def boot_epoch(self) -> int:
        """Counts the lives of the board's interpreter that this session has seen: 1 after the first connect.

        It rises with every reset that was noticed. Boards without ``sys.stdout`` cannot tell a reconnection from a
        restart; there each connect counts.
        """
        return self._standing.boot_epoch

    @property
    def attached(self) -> bool | None:
        """Whether the latest connect met the life of the board's interpreter that was known: what it held is there.

        False: it has restarted since, or `connect` has restarted it. None: nobody can tell, since no life was known
        (this is the first connect, and no journal of a manager knows the board) or the board keeps no name of it.
        """
        return self._standing.attached

    @property
    def last_used(self) -> datetime:
        """When the latest operation began or ended, in UTC."""
        return datetime.fromtimestamp(self._standing.last_used, UTC)

    @property
    def info(self) -> BoardInfo:
        """What the board said about itself at the latest connect. Raises `SessionClosed` before the first one."""
        if self._standing.info is None:
            raise SessionClosed("nothing is known of the board before the first connect; use `with`, or connect() it")
        return self._standing.info

    @property
    def is_healthy(self) -> bool:
        """Whether the board is connected and usable, as far as is known without asking it, and its circuit closed."""
        return self._standing.lifecycle.state in _LINKED and (self._guard is None or self._guard.is_closed)

    @property
    def statistics(self) -> SessionStatistics:
        """What the session has done since it was made, as it is now; it stands still."""
        standing = self._standing
        return standing.counters.snapshot(connected=standing.lifecycle.state in _LINKED)
