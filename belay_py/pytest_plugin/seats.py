"""One board in the hands of one test, or of a wider scope: a lease, and what makes the board clean for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from belay_py.errors import BelayError
from belay_py.lifecycle import DeviceSessionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from belay_py.pytest_plugin.bench import Bench
    from belay_py.pytest_plugin.candidates import Candidate
    from belay_py.sync import DeviceSession

Mark: TypeAlias = tuple[int, int, int]
"""Connections, lives of the interpreter, bytes sent: which are the same as long as nothing was sent."""


class Seat:
    """A leased board. Raises what `belay_py.sync.DeviceSessionManager.lease` raises."""

    def __init__(self, bench: Bench, candidate: Candidate) -> None:
        self.candidate = candidate
        self.kept_by: str | None = None
        """The fixture that has it for longer than one test."""
        self._bench = bench
        self._lease = bench.manager.lease(candidate.name, timeout=bench.options.lease_timeout)
        self.session: DeviceSession = self._lease.acquire()
        self.info = self.session.info
        self.trace = bench.traces.of(candidate.name)

    def clean(self, how: Literal["soft", "hard"] = "soft") -> None:
        """Give the board a fresh interpreter, unless nothing was sent to it since it has had one.

        Nothing less is clean: whatever code can be sent runs beside the timers, threads and patched functions of the
        code before it, and cannot find files that were left open. A board that the test has disconnected from
        is connected to. Raises what connecting and resets raise.
        """
        self._connect()
        session, marks = self.session, self._bench.clean_marks
        if how == "hard":
            session.hard_reset()
        elif marks.get(session.session_id) != _mark(session):
            session.soft_reset()
        marks[session.session_id] = _mark(session)

    def recover(self) -> None:
        """Connect to a board that was lost in an earlier test, and clean it if it has restarted meanwhile.

        Raises what connecting raises.
        """
        epoch = self.session.boot_epoch
        if self._connect() and self.session.boot_epoch != epoch:
            self.clean()

    def _connect(self) -> bool:
        if self.session.state not in (DeviceSessionState.DISCONNECTED, DeviceSessionState.ERROR):
            return False
        self.session.connect()
        return True

    def release(self) -> None:
        """Give the board back; code that runs there is stopped. Any number of times."""
        if self in self._bench.seats:
            self._bench.seats.remove(self)
        with contextlib.suppress(BelayError):  # a board that is lost is given back as well
            self._lease.release()

    def disconnect(self) -> None:
        """Close the port, and keep the seat: an asynchronous session is to open it."""
        self.session.disconnect()


def release(seats: Iterable[Seat]) -> None:
    """Give boards back."""
    for seat in [*seats]:
        seat.release()


def _mark(session: DeviceSession) -> Mark:
    return session.generation, session.boot_epoch, session.statistics.bytes_sent
