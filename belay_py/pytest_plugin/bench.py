"""The boards that one process of a run has: found, claimed, connected, clean, given to one test after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Final, Literal

import pytest

from belay_py.errors import BelayError, DeviceBusy, DeviceNotFound, VirtualBoardUnavailable
from belay_py.pytest_plugin.candidates import candidates, manager_options, virtual_candidate
from belay_py.pytest_plugin.claims import claim
from belay_py.pytest_plugin.fitting import Known, misfit
from belay_py.pytest_plugin.options import choices
from belay_py.pytest_plugin.refusals import Refusal, give_up
from belay_py.pytest_plugin.reports import Reporter
from belay_py.pytest_plugin.seats import Seat, release
from belay_py.pytest_plugin.traces import Traces
from belay_py.sync import DeviceSessionManager

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from belay_py.devices.locks import PortLock
    from belay_py.options import DeviceSessionOptions
    from belay_py.pytest_plugin.candidates import Candidate
    from belay_py.pytest_plugin.seats import Mark
    from belay_py.pytest_plugin.wanted import Wanted

_KEY: Final = pytest.StashKey["Bench"]()
_LOOK_INTERVAL: Final = 0.1
"""Seconds between two looks for a board that another process has: nobody tells when a lock becomes free."""


def bench_of(config: pytest.Config) -> Bench:
    """Return the process's boards; there is nothing of them before the first test that asks."""
    found = config.stash.get(_KEY, None)
    if found is None:
        try:
            found = config.stash[_KEY] = Bench(config)
        except (BelayError, pytest.UsageError) as error:
            why = str(error)
        if found is None:
            pytest.fail(f"belay: {why}", pytrace=False)
        config.add_cleanup(found.close)
        config.pluginmanager.register(Reporter(found), "belay-reports")
    return found


class Bench:
    """See above. Of pytest's main thread."""

    def __init__(self, config: pytest.Config) -> None:
        self.choices = choices(config)
        options = manager_options(self.choices)
        self._worker: str | None = getattr(config, "workerinput", {}).get("workerid")
        self.candidates = candidates(self.choices, options)
        # Boards are found, lost and kept as tests go; nothing goes on by itself that a test or its trace would see.
        self.options = dataclasses.replace(
            options, quarantine_after=0, leak_after=None, warm_up=(), journal=None, devices={}
        )
        self.manager = DeviceSessionManager(self.options)
        self.traces = Traces(self.choices.log_dir, self._worker)
        self.seats: list[Seat] = []
        """What tests have at the moment."""
        self.reserved: dict[str, list[Seat]] = {}
        """What was taken for fixtures of the present test that have not asked yet."""
        self.clean_marks: dict[str, Mark] = {}
        """How much each session had sent when its board was clean."""
        self._spares: list[Candidate] = []
        self._claims: dict[str, PortLock] = {}
        self._known: dict[str, Known] = {}
        self._lost: dict[str, Refusal] = {}

    def close(self) -> None:
        """Close all sessions and let go of all boards."""
        release(self.seats)
        with contextlib.suppress(BelayError):  # pytest ends, and nobody is there to be told
            self.manager.close(grace=0)
        while self._claims:
            self._claims.popitem()[1].release()
        self.traces.close()

    # -- giving -------------------------------------------------------------------------------------------------

    def take(self, wanted: Wanted, least: int, most: int | None, *, only: Candidate | None = None) -> list[Seat]:
        """Return clean boards that fit, as soon as there are enough; skip the test, or fail it, where there are not."""
        seats, refusals = self.gather(wanted, least, most, only=only)
        if len(seats) < least:
            give_up(refusals, require=self.choices.require, found=len(seats), count=least)
        return seats

    def gather(
        self, wanted: Wanted, least: int, most: int | None, *, only: Candidate | None = None
    ) -> tuple[list[Seat], list[Refusal]]:
        """Return clean boards that fit, as many as there are, and why others are not among them.

        Fewer than ``least`` are released already. A board that another process has is waited for, up to the manager's
        ``lease_timeout``.
        """
        deadline = time.monotonic() + self.options.lease_timeout
        seats: list[Seat] = []
        while True:
            order = [*self._order(wanted, least, most)] if only is None else [only]
            refusals = self._claim_enough(order, wanted, least)
            # No board is opened and restarted at each of many looks: only when there are enough.
            if not _busy(refusals):
                seats, refusals = self._seat(order, wanted, least, most)
                if len(seats) >= least:
                    self._give_up_idle()
                    return seats, refusals
                release(seats)
                if len(seats) + _busy(refusals) < least:
                    return seats, refusals
            left = deadline - time.monotonic()
            if left <= 0:
                return seats, refusals
            self._give_up_idle()  # or two workers could wait for what the other one keeps
            time.sleep(min(_LOOK_INTERVAL, left))

    def _seat(
        self, order: Sequence[Candidate], wanted: Wanted, least: int, most: int | None
    ) -> tuple[list[Seat], list[Refusal]]:
        seats: list[Seat] = []
        refusals: list[Refusal] = []
        try:
            for candidate in order:
                if len(seats) >= least and candidate in self._spares:
                    break  # they stand in for what is missing
                found = self._try(candidate, wanted)
                (seats if isinstance(found, Seat) else refusals).append(found)  # type: ignore[arg-type]  # as asked
                if len(seats) == most:
                    break
        except BaseException:  # Ctrl-C goes on
            release(seats)
            raise
        return seats, refusals

    def _order(self, wanted: Wanted, least: int, most: int | None) -> Iterator[Candidate]:
        """The candidates: what this process has already, then from the worker's own number on, at last virtual ones.

        For several boards in the same order in every process: then one gets all of them, and not each a part.
        """
        found = self.candidates
        if most == 1:
            found = [one for one in self.candidates if one.name in self._claims]
            start = int("".join(filter(str.isdecimal, self._worker or "")) or 0) % max(1, len(self.candidates))
            found += [one for one in (*self.candidates[start:], *self.candidates[:start]) if one not in found]
        yield from found
        yield from self._spare(wanted, most or least)

    def _spare(self, wanted: Wanted, count: int) -> Iterator[Candidate]:
        """Virtual boards, where they will do: as many as are asked for."""
        if not (wanted.virtual or (self.choices.virtual and wanted.virtual is not False)):
            return
        given = sum(seat.candidate in self._spares for seat in self.seats)
        for number in range(count + given):
            if number == len(self._spares):
                self._spares.append(virtual_candidate(len(self.candidates) + number + 1, self.options))
            yield self._spares[number]

    def _claim_enough(self, order: Sequence[Candidate], wanted: Wanted, least: int) -> list[Refusal]:
        """Claim as many boards as are needed at least; return why that is not to be, nothing where it is."""
        refusals: list[Refusal] = []
        free = 0
        for candidate in order:
            if free == least:
                return []
            if len(order) - len(refusals) < least:
                break  # what is left would be kept from others for nothing
            refusal = self._claimed(candidate, wanted)
            if refusal is None:
                free += 1
            else:
                refusals.append(refusal)
        return refusals if free < least else []

    def _claimed(self, candidate: Candidate, wanted: Wanted) -> Refusal | None:
        """Claim a board for this process; return why not, None where it is claimed."""
        name = candidate.name
        if any(seat.candidate == candidate for seat in self.seats):
            return Refusal(name, "given", "is given to the test already")
        lost = self._lost.get(name)
        if lost is not None and not lost.may_come_back:
            return lost
        why = misfit(candidate, wanted, self._known.get(name))
        if why is not None:
            return Refusal(name, "unfit", why)
        try:
            if name not in self._claims:
                options = candidate.options
                self._claims[name] = claim(options.port, exclusive=options.communication.exclusive)
        except BelayError as error:
            return self._out_of_reach(candidate, error)
        return None

    def _try(self, candidate: Candidate, wanted: Wanted) -> Seat | Refusal:
        refusal = self._claimed(candidate, wanted)
        if refusal is not None:
            return refusal
        try:
            seat = self._connected(candidate)
        except BelayError as error:
            return self._out_of_reach(candidate, error)
        self._lost.pop(candidate.name, None)
        return self._looked_at(seat, wanted)

    def _out_of_reach(self, candidate: Candidate, error: BelayError) -> Refusal:
        name = candidate.name
        self._let_go(candidate)
        if isinstance(error, DeviceBusy):
            return Refusal(name, "busy", str(error))
        lost = self._lost.get(name)
        may_come_back = isinstance(error, DeviceNotFound) and not isinstance(error, VirtualBoardUnavailable)
        kind: Literal["lost", "missing"] = "missing"
        if self._known.pop(name, None) is not None or (lost is not None and lost.kind == "lost"):
            kind = "lost"  # what comes back may be another board
        self._lost[name] = Refusal(name, kind, str(error), may_come_back=may_come_back)
        return self._lost[name]

    def _connected(self, candidate: Candidate) -> Seat:
        if candidate.name not in self.manager:
            self.manager.create_session(candidate.name, self.session_options(candidate), connect=False)
        return Seat(self, candidate)

    def session_options(self, candidate: Candidate) -> DeviceSessionOptions:
        """Return the options of a board's sessions: what it does is what the test does."""
        return dataclasses.replace(
            candidate.options,
            pinned=True,
            enable_auto_reconnect=False,
            enable_heartbeat=False,
            enable_health_checks=False,
            trace=self.traces.of(candidate.name).path,
        )

    def _looked_at(self, seat: Seat, wanted: Wanted) -> Seat | Refusal:
        """The seat with a clean board, if that is one that fits."""
        name = seat.candidate.name
        try:
            known = self._known.setdefault(name, Known(seat.session.info))
            known.look(seat.session, wanted.caps)
            why = misfit(seat.candidate, wanted, known)
            if why is None:
                seat.clean(wanted.reset)
                self.seats.append(seat)
                return seat
        except BelayError as error:
            seat.release()
            self._let_go(seat.candidate)
            self._known.pop(name, None)
            # The next look finds it plugged in again, or it costs a timeout, once.
            self._lost[name] = Refusal(name, "lost", str(error), may_come_back=True)
            return self._lost[name]
        except BaseException:  # Ctrl-C goes on
            seat.release()
            raise
        seat.release()
        self._let_go(seat.candidate)
        return Refusal(name, "unfit", why)

    def _give_up_idle(self) -> None:
        """A worker keeps no board beside the ones that its test has, so that the others find one."""
        if self._worker is None:
            return
        kept = {seat.candidate.name for seat in self.seats}
        for candidate in self.candidates:
            if candidate.name in self._claims and candidate.name not in kept:
                self._let_go(candidate)

    def _let_go(self, candidate: Candidate) -> None:
        if candidate.name in self.manager:
            self.manager.remove(candidate.name, grace=0)
        lock = self._claims.pop(candidate.name, None)
        if lock is not None:
            lock.release()

    def forget(self, candidate: Candidate) -> None:
        """Close a board that was one test's own."""
        self._let_go(candidate)
        self._known.pop(candidate.name, None)


def _busy(refusals: Iterable[Refusal]) -> int:
    return sum(refusal.kind == "busy" for refusal in refusals)
