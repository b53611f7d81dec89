"""The boards that one process of a run has: found, claimed, connected, clean, given to one test after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from typing import TYPE_CHECKING, Final

import pytest

from belay_py.errors import BelayError, DeviceBusy, DeviceNotFound, VirtualBoardUnavailable
from belay_py.pytest_plugin.candidates import candidates, manager_options, virtual_candidate
from belay_py.pytest_plugin.claims import claim
from belay_py.pytest_plugin.fitting import Known, misfit
from belay_py.pytest_plugin.options import choices
from belay_py.pytest_plugin.refusals import Refusal, give_up
from belay_py.pytest_plugin.reports import Reporter
from belay_py.pytest_plugin.seats import Seat
from belay_py.pytest_plugin.traces import Traces
from belay_py.sync import DeviceSessionManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        found = config.stash[_KEY] = Bench(config)
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
        self.clean_marks: dict[str, Mark] = {}
        """How much each session had sent when its board was clean."""
        self._spares: list[Candidate] = []
        self._claims: dict[str, PortLock] = {}
        self._known: dict[str, Known] = {}
        self._lost: dict[str, Refusal] = {}

    def close(self) -> None:
        """Close all sessions and let go of all boards."""
        for seat in [*self.seats]:
            seat.release()
        with contextlib.suppress(BelayError):  # pytest ends, and nobody is there to be told
            self.manager.close(grace=0)
        while self._claims:
            self._claims.popitem()[1].release()
        self.traces.close()

    # -- giving -------------------------------------------------------------------------------------------------

    def take(self, wanted: Wanted, *, fixture: str, only: Candidate | None = None) -> Seat:
        """Return a clean board that fits, as soon as there is one; skip the test, or fail it, where there is none.

        A board that another process has is waited for, up to the manager's ``lease_timeout``.
        """
        [seat] = self._take(wanted, fixture, 1, lambda: self._in_turn(wanted) if only is None else iter((only,)))
        return seat

    def take_several(self, wanted: Wanted, *, fixture: str) -> list[Seat]:
        """As `take`, for as many as are wanted, all of them or none; or for all that are free."""
        # In the same order in every process: then one gets all of them, and not each a part.
        return self._take(wanted, fixture, wanted.count, lambda: itertools.chain(self.candidates, self._spare(wanted)))

    def _take(
        self, wanted: Wanted, fixture: str, count: int | None, order: Callable[[], Iterator[Candidate]]
    ) -> list[Seat]:
        deadline = time.monotonic() + self.options.lease_timeout
        while True:
            taken: list[Seat] = []
            refusals: list[Refusal] = []
            try:
                for candidate in order():
                    found = self._try(candidate, wanted, fixture)
                    (taken if isinstance(found, Seat) else refusals).append(found)  # type: ignore[arg-type]  # as asked
                    if len(taken) == count:
                        break
                if taken and len(taken) == (count or len(taken)):
                    return taken
            except BaseException:  # Ctrl-C goes on
                for seat in taken:
                    seat.release()
                raise
            for seat in taken:
                seat.release()
            if time.monotonic() >= deadline or not any(refusal.kind == "busy" for refusal in refusals):
                give_up(refusals, require=self.choices.require, found=len(taken), count=count or 1)
            self._give_up_idle()  # or two workers could wait for what the other one keeps
            time.sleep(_LOOK_INTERVAL)

    def _in_turn(self, wanted: Wanted) -> Iterator[Candidate]:
        """The candidates: what this process has already, then from the worker's own number on, at last virtual ones."""
        found = [one for one in self.candidates if one.name in self._claims]
        start = int("".join(filter(str.isdecimal, self._worker or "")) or 0) % max(1, len(self.candidates))
        found += [one for one in (*self.candidates[start:], *self.candidates[:start]) if one not in found]
        yield from found
        yield from self._spare(wanted)

    def _spare(self, wanted: Wanted) -> Iterator[Candidate]:
        """Virtual boards, where they will do: as many as are asked for."""
        if not (wanted.virtual or (self.choices.virtual and wanted.virtual is not False)):
            return
        given = sum(seat.candidate in self._spares for seat in self.seats)
        for number in range((wanted.count or 1) + given):
            if number == len(self._spares):
                self._spares.append(virtual_candidate(len(self.candidates) + number + 1, self.options))
            yield self._spares[number]

    def _try(self, candidate: Candidate, wanted: Wanted, fixture: str) -> Seat | Refusal:
        name = candidate.name
        if any(seat.candidate == candidate for seat in self.seats):
            return Refusal(name, "given", "is given to the test already")
        lost = self._lost.get(name)
        if lost is not None and not lost.may_come_back:
            return lost
        why = misfit(candidate, wanted, self._known.get(name))
        if why is not None:
            return Refusal(name, "unfit", why)
        mine = name in self._claims
        try:
            if not mine:
                self._claims[name] = claim(candidate.options.port)
            seat = self._connected(candidate, fixture)
        except DeviceBusy as error:
            self._let_go(candidate)
            return Refusal(name, "busy", str(error))
        except BelayError as error:
            self._let_go(candidate)
            may_come_back = isinstance(error, DeviceNotFound) and not isinstance(error, VirtualBoardUnavailable)
            self._lost[name] = Refusal(
                name, "lost" if name in self._known else "missing", str(error), may_come_back=may_come_back
            )
            return self._lost[name]
        self._lost.pop(name, None)
        return self._looked_at(seat, wanted)

    def _connected(self, candidate: Candidate, fixture: str) -> Seat:
        if candidate.name not in self.manager:
            self.manager.create_session(candidate.name, self.session_options(candidate), connect=False)
        return Seat(self, candidate, fixture)

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
                self._give_up_idle()
                return seat
        except BelayError as error:
            seat.release()
            self._let_go(seat.candidate)
            self._lost[name] = Refusal(name, "lost", str(error))
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
