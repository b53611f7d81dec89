"""What is written into the tables of a journal, and read from them. Each function is one step of a transaction.

All raise ``sqlite3.Error``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from belay_py.devices.identity import identity, makes_its_board
from belay_py.journal.processes import lives
from belay_py.journal.records import BoardRecord, LeaseRecord, LeftBehind, ProcessRecord, SessionNote, SessionRecord
from belay_py.journal.store import KEPT

if TYPE_CHECKING:
    import sqlite3

    from belay_py.journal.processes import ProcessMark
    from belay_py.journal.records import LeaseNote

# ---- Writing ----


def enroll(store: sqlite3.Connection, mark: ProcessMark, now: float) -> int:
    """Note that a process begins; return its number."""
    row = store.execute(
        "INSERT INTO processes (pid, started, machine, program, began) VALUES (?, ?, ?, ?, ?) RETURNING process",
        (mark.pid, mark.started, mark.machine, _text(mark.program), now),
    ).fetchone()
    return int(row[0])


def dismiss(store: sqlite3.Connection, process: int, how: str, now: float) -> None:
    """Note that a process has ended, and with it all that it had."""
    store.execute("UPDATE processes SET ended = ?, how = ? WHERE process = ?", (now, how, process))
    store.execute(
        "UPDATE sessions SET connected = 0, changed = ?, how = ? WHERE process = ? AND connected", (now, how, process)
    )
    store.execute("UPDATE leases SET ended = ?, how = ? WHERE process = ? AND ended IS NULL", (now, how, process))


def bury(store: sqlite3.Connection, now: float) -> tuple[LeftBehind, ...]:
    """Note the end of each process that has died; return what those had that had anything."""
    found = []
    for process in processes(store, only_open=True):
        if lives(process.pid, process.started, process.machine) is not False:
            continue
        left = LeftBehind(
            process,
            tuple(sessions(store, process.number)),
            tuple(leases(store, process.number)),
        )
        dismiss(store, process.number, "died", now)
        if left.sessions or left.leases:
            found.append(left)
    return tuple(found)


def write_session(store: sqlite3.Connection, process: int, note: SessionNote) -> None:
    """Note how a session stands, and what that says of its board."""
    texts = note.device_id, note.port, note.unique_id, note.life
    device_id, port, unique_id, life = (None if text is None else _text(text) for text in texts)
    row = store.execute("SELECT board, life FROM sessions WHERE session_id = ?", (note.session_id,)).fetchone()
    board = row[0] if row and not note.connected else _key(note)
    store.execute(
        "INSERT INTO sessions (session_id, process, board, device_id, port, generation, boot_epoch, life, connected, "
        "opened, changed, how) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session_id) DO UPDATE SET "
        "board = excluded.board, generation = excluded.generation, boot_epoch = excluded.boot_epoch, "
        "life = excluded.life, connected = excluded.connected, changed = excluded.changed, how = excluded.how",
        (
            *(note.session_id, process, board, device_id, port, note.generation, note.boot_epoch, life),
            *(note.connected, note.at, note.at, note.how),
        ),
    )
    if not note.connected and row and row[1] == life:
        return  # of its board others may know more by now
    store.execute(
        "INSERT INTO boards (key, device_id, port, unique_id, life, boot_epoch, seen) VALUES (?, ?, ?, ?, ?, 1, ?) "
        "ON CONFLICT (key) DO UPDATE SET device_id = excluded.device_id, port = excluded.port, "
        "unique_id = excluded.unique_id, life = excluded.life, seen = excluded.seen, "
        "boot_epoch = boot_epoch + (life IS NOT excluded.life) "
        "WHERE ? OR seen <= excluded.seen",  # who has disconnected may be written after who has connected since
        (board, device_id, port, unique_id, life, note.at, note.connected),
    )
    if note.connected and note.is_sole and identity(note.port) is not None:
        _end_others(store, board, note)


def _end_others(store: sqlite3.Connection, board: str, note: SessionNote) -> None:
    """End what the journal still has of other sessions of a board: its lock would not have been free."""
    others = store.execute(
        "SELECT session_id FROM sessions WHERE board = ? AND connected AND session_id <> ?", (board, note.session_id)
    ).fetchall()
    for other in others:
        store.execute(
            "UPDATE sessions SET connected = 0, changed = ?, how = 'lost' WHERE session_id = ?", (note.at, *other)
        )
        store.execute(
            "UPDATE leases SET ended = ?, how = 'lost' WHERE session_id = ? AND ended IS NULL", (note.at, *other)
        )


def write_lease(store: sqlite3.Connection, process: int, note: LeaseNote) -> None:
    """Note how a lease stands."""
    how = None if note.ended is None else "released"
    holder = _text(note.holder)
    store.executemany(
        "INSERT OR REPLACE INTO leases (process, lease_id, session_id, device_id, holder, since, ended, how) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (process, note.lease_id, session_id, _text(device_id), holder, note.since, note.ended, how)
            for session_id, device_id in note.seats
        ],
    )


def end_lease(store: sqlite3.Connection, process: int, lease_id: int, ended: float) -> None:
    """Note that a lease is over."""
    store.execute(
        "UPDATE leases SET ended = ?, how = 'released' WHERE process = ? AND lease_id = ?", (ended, process, lease_id)
    )


_PRUNE: Final = (
    "DELETE FROM leases WHERE ended < (SELECT ended FROM leases WHERE ended IS NOT NULL "
    "ORDER BY ended DESC LIMIT 1 OFFSET ?)",
    "DELETE FROM sessions WHERE NOT connected AND changed < (SELECT changed FROM sessions WHERE NOT connected "
    "ORDER BY changed DESC LIMIT 1 OFFSET ?)",
    "DELETE FROM processes WHERE ended < (SELECT ended FROM processes WHERE ended IS NOT NULL "
    "ORDER BY ended DESC LIMIT 1 OFFSET ?)",
)


def prune(store: sqlite3.Connection) -> None:
    """Forget the oldest of what has ended."""
    for statement in _PRUNE:
        store.execute(statement, (KEPT,))


def _key(note: SessionNote) -> str:
    known = None if makes_its_board(note.port) else identity(note.port)
    return _text(known or f"{note.device_id} at {note.port}")


def _text(name: str) -> str:
    """A name as it can be stored: the system's own may hold bytes that are no UTF-8, which Python has as surrogates."""
    return name.encode(errors="backslashreplace").decode()


# ---- Reading ----


def last_life(store: sqlite3.Connection, device_id: str, port: str) -> str | None:
    """The life in which a board was met last: that of this name at this port, else of this name, else at this port."""
    row = store.execute(
        "SELECT life FROM boards WHERE (device_id = ?1 OR port = ?2) AND life IS NOT NULL "
        "ORDER BY (device_id = ?1) * 2 + (port = ?2) DESC, seen DESC LIMIT 1",
        (_text(device_id), _text(port)),
    ).fetchone()
    return None if row is None else str(row[0])


def processes(store: sqlite3.Connection, *, only_open: bool = False) -> list[ProcessRecord]:
    """Processes, the latest last; those that have not ended, or all."""
    rows = store.execute(
        "SELECT process, pid, started, machine, program, began, ended, how FROM processes "
        "WHERE NOT ? OR ended IS NULL ORDER BY process",
        (only_open,),
    )
    return [
        ProcessRecord(number, pid, started, machine, program, _time(began), _time_or_none(ended), how)
        for number, pid, started, machine, program, began, ended, how in rows
    ]


def boards(store: sqlite3.Connection) -> list[BoardRecord]:
    """Boards, by name."""
    rows = store.execute(
        "SELECT key, device_id, port, unique_id, life, boot_epoch, seen FROM boards ORDER BY device_id, key"
    )
    return [
        BoardRecord(key, device_id, port, unique_id, life, boot_epoch, _time(seen))
        for key, device_id, port, unique_id, life, boot_epoch, seen in rows
    ]


def sessions(store: sqlite3.Connection, connected_of: int | None = None) -> list[SessionRecord]:
    """Sessions, the latest last; those that a process has connected, or all."""
    rows = store.execute(
        "SELECT session_id, process, board, device_id, port, generation, boot_epoch, connected, opened, changed, how "
        "FROM sessions WHERE ?1 IS NULL OR (process = ?1 AND connected) ORDER BY opened",
        (connected_of,),
    )
    return [
        SessionRecord(
            *(session_id, process, board, device_id, port, generation, boot_epoch),
            *(bool(connected), _time(opened), _time(changed), how),
        )
        for session_id, process, board, device_id, port, generation, boot_epoch, connected, opened, changed, how in rows
    ]


def leases(store: sqlite3.Connection, held_by: int | None = None) -> list[LeaseRecord]:
    """Leases, the latest last; those that a process holds, or all."""
    rows = store.execute(
        "SELECT process, lease_id, session_id, device_id, holder, since, ended, how "
        "FROM leases WHERE ?1 IS NULL OR (process = ?1 AND ended IS NULL) ORDER BY since, lease_id",
        (held_by,),
    )
    return [
        LeaseRecord(process, lease_id, session_id, device_id, holder, _time(since), _time_or_none(ended), how)
        for process, lease_id, session_id, device_id, holder, since, ended, how in rows
    ]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _time_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
