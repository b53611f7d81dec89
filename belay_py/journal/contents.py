"""Everything that a journal holds, read at one moment."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py.errors import JournalError
from belay_py.journal import tables
from belay_py.journal.processes import lives
from belay_py.journal.store import open_for_reading

if TYPE_CHECKING:
    import os

    from belay_py.journal.records import BoardRecord, LeaseRecord, ProcessRecord, SessionRecord


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal knows. Of what has ended, the last thousand of each kind."""

    processes: tuple[ProcessRecord, ...]
    boards: tuple[BoardRecord, ...]
    sessions: tuple[SessionRecord, ...]
    leases: tuple[LeaseRecord, ...]

    def state_of(self, process: ProcessRecord) -> str:
        """How a process is: ``"runs"``, ``"unknown"`` from here, ``"died"``, or how it has ended."""
        if process.how is not None:
            return process.how
        return {True: "runs", False: "died", None: "unknown"}[lives(process.pid, process.started, process.machine)]


def read_journal(path: str | os.PathLike[str]) -> JournalContents:
    """Read a journal, which others may write meanwhile; nothing in it changes. Raises `JournalError`."""
    with contextlib.closing(open_for_reading(Path(path))) as store:
        try:
            store.execute("BEGIN")  # all at one moment
            return JournalContents(
                tuple(tables.processes(store)),
                tuple(tables.boards(store)),
                tuple(tables.sessions(store)),
                tuple(tables.leases(store)),
            )
        except (sqlite3.Error, TypeError, ValueError) as error:  # damage may be inside of values, too
            raise JournalError(f"the journal {path} cannot be read ({error}); move it away") from error
