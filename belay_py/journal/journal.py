"""`Journal`: one manager's way into the file. What is told to it is written by a thread of its own, moments later.

What waits to be written is no list of what happened but how things stand: of each session its latest state, of each
lease whether it is held. So it is never more than there are sessions and held leases, however long the disk takes, and
writing it twice does no harm.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from belay_py.errors import JournalError
from belay_py.journal import tables
from belay_py.journal.processes import own_mark
from belay_py.journal.records import LeaseNote
from belay_py.journal.store import KEPT, open_store, transaction

if TYPE_CHECKING:
    import os

    from belay_py.journal.records import LeftBehind, SessionNote

_log = logging.getLogger(__name__)

_REST: Final = 0.01  # seconds between two writes, so that a busy pool's leases share them, and its loop has the GIL
_RETRY: Final = 5.0  # seconds between two writes that fail
_MOST_ENDED: Final = 1000
"""Leases that came and went since the latest write; what comes beyond them is history that is not kept."""


_Work: TypeAlias = "tuple[dict[str, SessionNote], dict[int, LeaseNote], dict[int, float]]"
"""How sessions stand, and leases; and when leases have ended that are in the file as held."""


class Journal:
    """The journal as one manager writes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open it, note that this process has it, and find what others have left that died.

        Takes some milliseconds, two seconds where others stand in the way. Raises `JournalError`.
        """
        self.path = Path(path).absolute()
        self._store = open_store(self.path)
        try:
            with transaction(self._store):
                now = time.time()
                self.found: tuple[LeftBehind, ...] = tables.bury(self._store, now)
                """What processes have left that died; each is told to one process only."""
                self.process = tables.enroll(self._store, own_mark(), now)
                """This manager's number."""
                tables.prune(self._store)
        except sqlite3.Error as error:
            self._store.close()
            raise JournalError(
                f"the journal {self.path} cannot be written ({error}); name a file that can be"
            ) from error
        self._changed = threading.Condition(threading.Lock())
        self._sessions: dict[str, SessionNote] = {}
        self._held: dict[int, LeaseNote] = {}
        self._ended: dict[int, float] = {}
        self._dirty = False
        self._urgent = False
        self._closing: str | None = None
        self._begun = self._attempts = 0  # writes, and those that have ended, well or not
        self._over = 0  # what has ended since the oldest was forgotten
        self.is_failing = False
        """Whether the latest write has failed."""
        self._thread = threading.Thread(target=self._run, name="belay journal", daemon=True)
        self._thread.start()

    # -- told by the manager, at no cost ------------------------------------------------------------------------

    def note(self, note: SessionNote) -> None:
        """Note how a session stands."""
        with self._changed:
            self._sessions[note.session_id] = note
            self._touch()

    def lease_began(self, lease_id: int, seats: tuple[tuple[str, str], ...], holder: str) -> None:
        """Note that somebody has sessions, told by their ids and their devices' names."""
        held = LeaseNote(lease_id, seats, holder, time.time())
        with self._changed:
            self._held[lease_id] = held
            if not self._dirty:
                self._touch()

    def lease_ended(self, lease_id: int) -> None:
        """Note that a lease is over."""
        now = time.time()
        with self._changed:
            held = self._held.get(lease_id)
            if held is None:
                self._ended[lease_id] = now
            elif len(self._held) > _MOST_ENDED:
                del self._held[lease_id]
            else:
                held.ended = now
            if not self._dirty:
                self._touch()

    def _touch(self) -> None:
        self._dirty = True
        self._changed.notify_all()

    # -- asked --------------------------------------------------------------------------------------------------

    def last_life(self, device_id: str, port: str) -> str | None:
        """The name of the life in which the journal has met a board last, if it has. It blocks for microseconds."""
        try:
            return tables.last_life(self._store, device_id, port)
        except sqlite3.Error as error:
            _log.warning("the journal %s cannot be read (%s)", self.path, error)
            return None

    def settle(self, timeout: float) -> bool:
        """Wait until what was noted so far is written; return whether it is. It blocks: not for an event loop."""
        with self._changed:
            wanted = self._begun + self._dirty
            self._urgent = True
            self._changed.notify_all()
            ended = self._changed.wait_for(lambda: self._attempts >= wanted or not self._thread.is_alive(), timeout)
            return ended and not self.is_failing

    def close(self, how: str, timeout: float) -> None:
        """Write what is to be written, note that the process has ended, and close the file. It blocks.

        Any number of times.
        """
        with self._changed:
            self._closing = self._closing or how
            self._changed.notify_all()
        self._thread.join(timeout)
        if self._thread.is_alive():
            _log.error("the journal %s was not written to its end within %g s", self.path, timeout)
        self._store.close()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        store: sqlite3.Connection | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._closing is not None)
                closing = self._closing
                work = self._taken()
            try:
                # One of its own: the other one is asked by the manager at the same time.
                store = store or open_store(self.path)
                self._write(store, work, closing)
            except (sqlite3.Error, JournalError) as error:
                self._failed(work, error)
                if store is not None:
                    store.close()
                    store = None
            else:
                self._written()
            if closing is not None:
                break
            with self._changed:
                rest = _RETRY if self.is_failing else _REST
                self._changed.wait_for(lambda: self._urgent or self._closing is not None, rest)
        if store is not None:
            with contextlib.suppress(sqlite3.Error):
                store.close()

    def _taken(self) -> _Work:
        work = self._sessions, self._held, self._ended
        self._sessions, self._held, self._ended = {}, {}, {}
        self._dirty = self._urgent = False
        self._begun += 1
        return work

    def _write(
        self,
        store: sqlite3.Connection,
        work: _Work,
        closing: str | None,
    ) -> None:
        sessions, held, ended = work
        with transaction(store):
            for note in sessions.values():
                tables.write_session(store, self.process, note)
            for lease in held.values():
                tables.write_lease(store, self.process, lease)
            for lease_id, when in ended.items():
                tables.end_lease(store, self.process, lease_id, when)
            self._over += len(held) + len(ended) + len(sessions)
            if self._over > KEPT:
                tables.prune(store)
                self._over = 0
            if closing is not None:
                tables.dismiss(store, self.process, closing, time.time())

    def _written(self) -> None:
        if self.is_failing:
            _log.warning("the journal %s is written again", self.path)
        with self._changed:
            self._attempts += 1
            self.is_failing = False
            self._changed.notify_all()

    def _failed(self, work: _Work, error: Exception) -> None:
        if not self.is_failing:
            _log.error(
                "the journal %s cannot be written (%s): sessions go on, but what happens is not in it, and the next "
                "process will not know of it; see whether the disk is full. It is tried again every %g s",
                self.path,
                error,
                _RETRY,
            )
        sessions, held, ended = work
        with self._changed:
            self._attempts += 1
            self.is_failing = True
            # Back to what waits, below what has come since.
            self._sessions = sessions | self._sessions
            for lease_id in [*self._ended]:
                if lease_id in held:  # it came and went unwritten
                    del held[lease_id], self._ended[lease_id]
            self._held = {key: lease for key, lease in held.items() if lease.ended is None} | self._held
            self._ended = ended | self._ended
            self._dirty = True
            self._changed.notify_all()
