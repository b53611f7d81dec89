"""What a journal holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One manager in one process, which has written into the journal. Times are in UTC.

    ``how`` it ended is ``"closed"``, ``"handed over"`` or ``"died"``; None as long as nobody has noticed an end.
    """

    number: int
    pid: int
    started: int | None
    """In clock ticks since the machine did; None where the system does not tell."""
    machine: str
    """Where ``pid`` means something: a host, its start, and the name space of its processes."""
    program: str
    began: datetime
    ended: datetime | None
    how: str | None

    def __str__(self) -> str:
        return f"process {self.pid} ({self.program})"


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """A board as it was met last. ``key`` is its identity, or a name made up for one that has none.

    ``life`` is the name of its interpreter's life, ``boot_epoch`` how many of these the journal has met.
    """

    key: str
    device_id: str
    port: str
    unique_id: str | None
    life: str | None
    boot_epoch: int
    seen: datetime


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that was connected at least once.

    ``how`` is why it is not connected any more: the reason of its `SessionDisconnected`, ``"handed over"``, ``"died"``
    with its process, or ``"lost"`` where another process was found to have its board.
    """

    session_id: str
    process: int
    board: str
    device_id: str
    port: str
    generation: int
    boot_epoch: int
    connected: bool
    opened: datetime
    changed: datetime
    how: str | None

    def __str__(self) -> str:
        return f"session of {self.device_id!r} on {self.port}"


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """One session's part of a lease. ``holder`` is the place that took it, as ``file:line``."""

    process: int
    lease_id: int
    session_id: str
    device_id: str
    holder: str
    since: datetime
    ended: datetime | None
    how: str | None

    def __str__(self) -> str:
        return f"lease of {self.device_id!r} since {self.since:%Y-%m-%d %H:%M:%S} held by {self.holder}"


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a process had when it died: sessions that were connected, leases that were held."""

    process: ProcessRecord
    sessions: tuple[SessionRecord, ...]
    leases: tuple[LeaseRecord, ...]

    def __str__(self) -> str:
        things = ", ".join(str(thing) for thing in (*self.sessions, *self.leases))
        return f"left by {self.process}, which died: {things}"


@dataclass(slots=True)
class LeaseNote:
    """How a lease stands, to be written. ``seats`` are the ids of its sessions, with their devices' names."""

    lease_id: int
    seats: tuple[tuple[str, str], ...]
    holder: str
    since: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class SessionNote:
    """How a session stands now, to be written. Of several of one session the latest one counts."""

    session_id: str
    device_id: str
    port: str
    generation: int
    boot_epoch: int
    life: str | None
    unique_id: str | None
    connected: bool
    is_sole: bool
    """Whether nobody else can have the board while this session is connected: it is exclusive."""
    at: float
    how: str | None = None
