"""The file of a journal: its tables, and what is wrong with a file that is none.

It is an SQLite file in WAL mode: readers never wait for writers, and what a process had written when it was killed is
there (https://www.sqlite.org/wal.html). ``synchronous`` is NORMAL: nothing waits for the disk but a checkpoint; a power
cut may cost the last moments, and with them the machine's processes too. WAL needs one machine's memory: a journal is
not for a network's file system.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from belay_py.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 1
_OURS: Final = 0x62656C61  # "bela", the application_id by which SQLite files are told apart
_BUSY: Final = 2.0  # seconds to wait for another process's transaction, which takes milliseconds
_PAUSE: Final = 0.02  # seconds; a switch to WAL mode does not wait by itself
KEPT: Final = 1000
"""How many ended leases, sessions and processes stay in the journal."""

_SCHEMA: Final = f"""
CREATE TABLE processes (
  process INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER NOT NULL, started INTEGER, machine TEXT NOT NULL,
  program TEXT NOT NULL, began REAL NOT NULL, ended REAL, how TEXT);
CREATE TABLE boards (
  key TEXT PRIMARY KEY, device_id TEXT NOT NULL, port TEXT NOT NULL, unique_id TEXT, life TEXT,
  boot_epoch INTEGER NOT NULL, seen REAL NOT NULL);
CREATE TABLE sessions (
  session_id TEXT PRIMARY KEY, process INTEGER NOT NULL, board TEXT NOT NULL, device_id TEXT NOT NULL,
  port TEXT NOT NULL, generation INTEGER NOT NULL, boot_epoch INTEGER NOT NULL, life TEXT, connected INTEGER NOT NULL,
  opened REAL NOT NULL, changed REAL NOT NULL, how TEXT);
CREATE TABLE leases (
  process INTEGER NOT NULL, lease_id INTEGER NOT NULL, session_id TEXT NOT NULL, device_id TEXT NOT NULL,
  holder TEXT NOT NULL, since REAL NOT NULL, ended REAL, how TEXT,
  PRIMARY KEY (process, lease_id, session_id)) WITHOUT ROWID;
PRAGMA application_id = {_OURS};
PRAGMA user_version = {VERSION};
"""


def open_store(path: Path) -> sqlite3.Connection:
    """Open a journal for reading and writing, made if there is none. Raises `JournalError`."""
    with _explained(path, "opened"):
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            _require_ours(connection, path, fresh_is_fine=True)
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            with transaction(connection):  # it shows besides that the file can be written
                if _mark_of(connection)[0] != _OURS:
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
                else:
                    connection.execute("UPDATE processes SET how = how WHERE process = -1")
            _require_ours(connection, path)
        except BaseException:  # it goes on
            connection.close()
            raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open a journal that is there, to read it only. Raises `JournalError`."""
    if not os.path.isfile(path):  # noqa: PTH113  the method raises for names that no file can have
        raise JournalError(f"there is no journal {path}; a manager makes it, with the option journal")
    with _explained(path, "read"):
        connection = sqlite3.connect(_to_read(path.resolve()), uri=True, timeout=_BUSY)
        try:
            _require_ours(connection, path)
        except BaseException:  # it goes on
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of a block or nothing. Raises ``sqlite3.Error``."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # it goes on
        with contextlib.suppress(sqlite3.Error):  # some errors have rolled back by themselves
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError) as error:  # the latter for a name with a null character
        is_file = os.path.isfile(path)  # noqa: PTH113  as above
        if is_file and _is_damage(error):
            hint = "it is damaged, or no journal: move it away, or name another file"
        elif what == "read":
            hint = "read it with the rights of those who write it"
        elif _code_of(error) == sqlite3.SQLITE_FULL:
            hint = "make room on its disk, or name another file"
        else:
            hint = "name a file that can be written, in a folder that is there"
        raise JournalError(f"the journal {path} cannot be {what} ({error}); {hint}") from error


def _is_damage(error: Exception) -> bool:
    return _code_of(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code_of(error: Exception) -> int:
    # The code's last byte is the kind, the rest of it details (https://www.sqlite.org/rescode.html).
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _to_read(path: Path) -> str:
    # Even a reader makes files beside one in WAL mode, unless they are there. Where it may not, and nobody writes, what
    # is in the file is all there is (https://www.sqlite.org/wal.html#read_only_databases).
    may_write = os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    how = "mode=ro" if may_write or Path(f"{path}-wal").exists() else "immutable=1"
    return f"{path.as_uri()}?{how}"


def _mark_of(connection: sqlite3.Connection) -> tuple[int, int]:
    return (
        connection.execute("PRAGMA application_id").fetchone()[0],
        connection.execute("PRAGMA user_version").fetchone()[0],
    )


def _require_ours(connection: sqlite3.Connection, path: Path, *, fresh_is_fine: bool = False) -> None:
    # In this order: what another process makes between the two has its mark with its tables.
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    ours, version = _mark_of(connection)
    if ours != _OURS:
        if not tables:
            if fresh_is_fine:
                return
            raise JournalError(f"there is nothing in {path} yet; a manager writes it, with the option journal")
        raise JournalError(f"{path} is a database, but no journal of belay_py; name another file")
    if version > VERSION:
        raise JournalError(
            f"the journal {path} was written by a newer belay_py (its version is {version}, {VERSION} is known); "
            "upgrade, or name another file"
        )
    [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        told = " ".join(str(found).split())
        raise JournalError(f"the journal {path} is damaged ({told}); move it away, or name another file")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL mode, which the file keeps. Two who make a journal at once are in each other's way."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
