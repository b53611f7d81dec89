"""A manager under random callers, against boards that misbehave, on a virtual clock.

The twenty promises, and what holds them here; ``plan`` is tests/manager/test_plan.py, where every step is compared with
a model, and ``sweep`` is tests/manager/test_tick_sweep.py.

1. One lease per key, one transport per port: `acquire` (two have one board), `on_code` (somebody else's code ran).
2. Slots: `the_books_are_in_order`, against the open ports too.
3. First come, first served: `acquire` (came before); plan.
4. Deadlines: `acquire`, `execute`, `callers_end_in_time_...`; who failed waits no more: `acquire`.
5. max_waiting: `the_books_are_in_order`; plan.
6. granted = released + outstanding: `the_books_are_in_order`, for boards and for leases.
7. Cancelled anywhere: `acquire` (kept something), the books; sweep, at every tick.
8. No cancellation is swallowed: `callers_end_in_time_and_nothing_swallows_their_cancellation`.
9. An interrupted execution is resynchronised: `execute` (somebody else's output).
10. Release twice, use after release: `lease`.
11. OPEN, DRAINING, CLOSED, and nothing left: `the_books_are_in_order`, `end_manager`, `close`.
12. Signals, forks: not here; tests/manager has them with real processes.
13. One attempt at a time, delays within bounds, none after close: `follow` (legal path, Reconnecting).
14. Giving up is announced once: `follow` (ReconnectFailed).
15. The generation rises by one, nothing runs twice: `follow`, `nothing_runs_twice`.
16. Never a leased or pinned board is evicted: `follow`; the least recently used one: plan.
17. No check overlaps a lease: all that the manager does holds a claim (the books), and outputs are exact (`execute`).
18. Events form a legal path; listeners that fail change nothing: `follow`, `listen_differently`.
19. Gauges equal a recount, counters never fall: the books, `counters_never_fall`.
20. Several at once, all or none: `acquire`; plan.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from belay_py import SessionClosed
from belay_py.testing import HardReset, SoftReset

from .harness import CONNECTION_TIMEOUT, RECOVERY_TIMEOUT
from .manager_harness import GRACE, KEYS, OF_LEASE, PROGRAMS, Caller, ManagerHarness

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.manager.leases import Lease

SOME_KEY = st.sampled_from(KEYS)
PROGRAM = st.sampled_from([*PROGRAMS, *["prints"] * len(PROGRAMS)])
TIMEOUTS = st.sampled_from([0.0, 0.05, 1.0, 5.0, 60.0])
HOLDS = st.sampled_from([0.0, 0.0, 0.1, 2.0, 30.0])
THEN = st.sampled_from([None, 0.001, 0.5, 3.0])
"""How long the machine waits after it has started something; None: the next thing happens at once."""


class ManagerMachine(ManagerHarness):
    """The rules."""

    @initialize(
        max_sessions=st.integers(1, 4),
        max_waiting=st.sampled_from([2, 1000, 1000, 1000]),
        checkin=st.sampled_from(["leave", "interrupt", "soft_reset"]),
    )
    def choose(self, max_sessions: int, max_waiting: int, checkin: str) -> None:
        self.end_manager()
        self.max_sessions, self.max_waiting, self.checkin = max_sessions, max_waiting, checkin
        self.begin_anew()

    def begin_anew(self) -> None:
        self.heal()
        self.renew(self.max_sessions, self.max_waiting)
        for key in KEYS:
            self.create(key, replace=False, connect=False)
        self.turns(5)

    @precondition(lambda self: self.closing)
    @rule()
    def make_a_new_manager(self) -> None:
        self.end_manager()
        self.begin_anew()

    # -- sessions -----------------------------------------------------------------------------------------------

    @rule(key=SOME_KEY, replace=st.booleans(), connect=st.booleans())
    def create(self, key: str, *, replace: bool, connect: bool) -> None:
        async def work(caller: Caller) -> None:
            options = self.options(key, checkin=self.checkin)
            await self.manager.create_session(key, options, replace=replace, connect=connect, on_connect=self.prepare)

        self.start(f"create {key}", work, ENDING + 2 * CONNECTION_TIMEOUT, *OF_LEASE)

    @rule(key=SOME_KEY)
    def ensure(self, key: str) -> None:
        async def work(caller: Caller) -> None:
            session = await self.manager.ensure(key, self.options(key), on_connect=self.prepare)
            assert session.device_id == key

        self.start(f"ensure {key}", work, ENDING + 4 * CONNECTION_TIMEOUT, *OF_LEASE)

    @rule(key=SOME_KEY, really=st.integers(0, 2))
    def remove(self, key: str, really: int) -> None:
        if not really:
            self.start(f"remove {key}", lambda _: self.manager.remove(key), ENDING)

    # -- using them ---------------------------------------------------------------------------------------------

    @rule(key=SOME_KEY, timeout=TIMEOUTS, programs=st.lists(PROGRAM, max_size=2), hold=HOLDS, then=THEN)
    def lease(self, key: str, timeout: float, programs: list[str], hold: float, then: float | None) -> None:
        self.lease_of((key,), None, timeout, programs, hold).key = key
        self.go_on(then)

    def go_on(self, then: float | None) -> None:
        if then is not None:
            self.let_time_pass(then)

    @rule(
        keys=st.lists(SOME_KEY, min_size=2, max_size=3, unique=True),
        timeout=TIMEOUTS,
        program=PROGRAM,
        hold=HOLDS,
        then=THEN,
    )
    def lease_several(self, keys: list[str], timeout: float, program: str, hold: float, then: float | None) -> None:
        self.lease_of(tuple(keys), None, timeout, [program], hold)
        self.go_on(then)

    @rule(
        tags=st.sampled_from([{"left"}, {"fast"}, {"left", "fast"}, set[str]()]),
        count=st.sampled_from([None, 1, 2]),
        timeout=TIMEOUTS,
        program=PROGRAM,
        hold=HOLDS,
        then=THEN,
    )
    def lease_any(
        self, *, tags: set[str], count: int | None, timeout: float, program: str, hold: float, then: float | None
    ) -> None:
        self.lease_of((), (tags, count), timeout, [program], hold)
        self.go_on(then)

    def lease_of(
        self,
        keys: tuple[str, ...],
        tags: tuple[set[str], int | None] | None,
        timeout: float,
        programs: list[str],
        hold: float,
    ) -> Caller:
        async def work(caller: Caller) -> None:
            lease: Lease[Any]
            if tags is None:
                lease = self.manager.lease(*keys, timeout=timeout)
            elif tags[1] is None:
                lease = self.manager.lease(tags=tags[0], timeout=timeout)
            else:
                lease = self.manager.lease(tags=tags[0], count=tags[1], timeout=timeout)
            sessions = await self.acquire(caller, lease, timeout)
            try:
                for session in sessions:
                    for program in programs:
                        await self.execute(caller, session, program, 1.0)
                await asyncio.sleep(hold)
            finally:
                caller.has.clear()
                lease.release()
                lease.release()
            for session in sessions:
                with pytest.raises(SessionClosed):
                    await session.execute("after the lease")

        wanted = " ".join(keys) or str(tags)
        each = len(programs) * (1.0 + RECOVERY_TIMEOUT)
        return self.start(f"lease of {wanted}", work, timeout + RECOVERY_TIMEOUT + 3 * each + hold, *OF_LEASE)

    @rule(key=SOME_KEY, timeout=TIMEOUTS, program=PROGRAM, then=THEN)
    def call(self, key: str, timeout: float, program: str, then: float | None) -> None:
        async def work(caller: Caller) -> None:
            session = self.manager.get(key)
            if session is not None:
                await self.execute(caller, session, program, timeout)

        self.start(f"call on {key}", work, timeout + RECOVERY_TIMEOUT, *OF_LEASE)
        self.go_on(then)

    @rule(key=SOME_KEY, how=st.sampled_from(["disconnect", "close", "reconnect", "interrupt", "soft_reset"]))
    def do_something_else(self, key: str, how: str) -> None:
        async def work(caller: Caller) -> None:
            session = self.manager.get(key)
            if session is not None:
                await getattr(session, how)()

        self.start(f"{how} {key}", work, CONNECTION_TIMEOUT + RECOVERY_TIMEOUT, *OF_LEASE)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(self.callers))
        if caller.task is not None and caller.task.cancel():
            caller.cancelled = True

    @rule(grace=st.sampled_from([0.0, 1.0, 10.0]), cancelled=st.booleans(), really=st.integers(0, 9))
    def close(self, grace: float, really: int, *, cancelled: bool) -> None:
        if really:  # else little would be seen of the rest
            return
        caller = self.start("close", lambda _: self.manager.close(grace), math.inf)
        self.turns(2)
        self.closing = True
        if cancelled and caller.task is not None and caller.task.cancel():
            caller.cancelled = True

    # -- time and faults ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.03, 0.5, 3.0, 30.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.let_time_pass(seconds)

    @rule(count=st.integers(1, 8))
    def let_turns_pass(self, count: int) -> None:
        self.turns(count)

    @rule(key=SOME_KEY, how=st.sampled_from(["lose", "unplug", "hang", "restart", "soft reset"]), away=st.booleans())
    def trouble(self, key: str, how: str, *, away: bool) -> None:
        async def happen() -> None:
            board = self.boards[key]
            match how:
                case "lose":
                    board.lose("pulled")
                case "unplug":
                    board.unplug()
                case "hang":
                    board.silent = True
                case "soft reset" if not board.silent:  # what hangs is woken by its button only
                    board.restart(SoftReset())
                case _:
                    board.away = 0.5 if away else None
                    board.restart(HardReset())

        self.run(happen())

    @rule(key=SOME_KEY)
    def replug(self, key: str) -> None:
        async def replug() -> None:
            self.boards[key].replug()

        self.run(replug())

    @rule(key=SOME_KEY, how=st.sampled_from(["well", "executes", "fails", "hangs"]))
    def prepare_differently(self, key: str, how: str) -> None:
        self.preparing[key] = how

    @rule(how=st.sampled_from(["well", "badly", "slowly"]))
    def listen_differently(self, how: str) -> None:
        self.listening = how

    @rule()
    def make_everything_sound(self) -> None:
        self.heal()

    @invariant()
    def nothing_runs_twice(self) -> None:
        codes = [execution.code for board in self.boards.values() for execution in board.executions]
        codes = [code for code in codes if code in self.programs]
        assert len(codes) == len(set(codes))


REACHED = (
    *("leases of 1", "leases of 2", "leases of 3", "evicted", "cancelled", "prints: done", "restarts: BoardWasReset"),
    *("SessionError", "Reconnecting", "ReconnectFailed", "BoardReset"),
    *("no lease: DeviceBusy", "no lease: TooManyWaiters", "no lease: SessionClosed", "resists: SessionTimeout"),
)
"""What must have come about in one run of the test."""
ENDING = GRACE + 2 * RECOVERY_TIMEOUT + CONNECTION_TIMEOUT


def test_a_manager_keeps_its_promises_whoever_does_what(record_property: Callable[[str, object], None]) -> None:
    ManagerMachine.steps = 0
    ManagerMachine.seen.clear()
    run_state_machine_as_test(
        ManagerMachine,
        settings=settings(
            max_examples=500,  # 50 are a margin above the 20,000 steps below
            stateful_step_count=50,
            deadline=None,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    seen = ManagerMachine.seen
    record_property("steps", ManagerMachine.steps)
    record_property("seen", dict(sorted(seen.items())))
    assert ManagerMachine.steps >= 20_000
    assert [what for what in REACHED if not seen[what]] == []
