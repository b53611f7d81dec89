"""What the state machine over a manager needs: its boards, its callers, and what must always hold."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections import Counter
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant

from belay_py import (
    BelayError,
    CommunicationOptions,
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionOptions,
    ExecutionError,
    SessionClosed,
    SettingsError,
    TooManyWaiters,
)
from belay_py import events as happened
from belay_py.testing import HardReset, ScriptedBoard, VirtualClock

from .harness import CONNECTION_TIMEOUT, LEGAL, OF_CONNECT, OF_EXECUTE, RECOVERY_TIMEOUT, State

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from belay_py.manager.leases import Lease
    from belay_py.testing import Answer

KEYS = ("a", "b", "c", "d")
TAGS = {"a": {"left"}, "b": {"left", "fast"}, "c": {"fast"}, "d": set[str]()}
OF_LEASE = (*OF_CONNECT, *OF_EXECUTE, TooManyWaiters, SettingsError)
GRACE = 1.0
SLACK = 0.001


@dataclass(eq=False, repr=False)
class Caller:
    """A task that was started, and what must become of it."""

    name: str
    latest_end: float
    errors: tuple[type[BaseException], ...]
    task: asyncio.Task[Any] | None = None
    lease: Lease[Any] | None = None
    key: str | None = None
    """The board that it waits for by name, if it is one."""
    arrived: int = 0
    cancelled: bool = False
    ended: float | None = None
    has: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return self.name


@dataclass
class Path:
    """What the events of one session have told."""

    state: State = State.CREATED
    generation: int = 0
    attempts: int = 0
    given_up: bool = False
    disposed: bool = False


class ManagerHarness(RuleBasedStateMachine):
    """Four boards on a virtual clock, one manager after another, and who uses them."""

    steps = 0
    """Of all runs together."""
    seen: ClassVar[Counter[str]] = Counter()
    """What has come about in all runs together: a machine that reaches nothing proves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.log = logging.getLogger("belay_py")
        self.level = self.log.level
        self.log.setLevel(logging.CRITICAL)  # failing listeners are logged at length
        self.runner = asyncio.Runner(loop_factory=VirtualClock)
        self.loop = self.runner.get_loop()
        self.boards = {key: ScriptedBoard(on_code=self.on_code(key)) for key in KEYS}
        self.programs: dict[str, tuple[Caller, Callable[[], Answer]]] = {}
        self.callers: list[Caller] = []
        self.arrivals = 0
        self.wrong: list[str] = []
        """What was seen where nothing can be raised."""
        self.listening = "well"
        self.preparing = dict.fromkeys(KEYS, "well")
        self.paths: dict[int, tuple[DeviceSession, Path]] = {}
        self.renew(3, 1000)

    def renew(self, max_sessions: int, max_waiting: int) -> None:
        self.manager = DeviceSessionManager(
            max_sessions=max_sessions, max_waiting=max_waiting, close_grace=GRACE, lease_timeout=20, leak_after=100
        )
        self.manager._pool.random = random.Random(1)  # hypothesis must find the same again
        self.counted: dict[str, int] = {}
        self.paths.clear()
        self.closing = False

        async def begin() -> None:
            await self.manager.start()
            self.manager.subscribe(self.on_event)
            self.manager.subscribe(self.listen)
            self.manager.subscribe(self.listen_slowly)

        self.run(begin())

    def options(self, key: str, **more: Any) -> DeviceSessionOptions:
        settings: dict[str, Any] = {
            "tags": TAGS[key],
            "pinned": key == "d",
            "recovery_timeout": RECOVERY_TIMEOUT,
            "connection_timeout": CONNECTION_TIMEOUT,
            "operation_timeout": 5,
            "communication": CommunicationOptions(pace=0.05),
        }
        return DeviceSessionOptions(port=self.boards[key].port, **{**settings, **more})

    # -- the world ----------------------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(self.loop.create_task(work, context=Context()))

    def let_time_pass(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def turns(self, count: int) -> None:
        async def turn() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.run(turn())

    def on_code(self, key: str) -> Callable[[str], Answer]:
        def answer(code: str) -> Answer:
            if code not in self.programs:
                return None
            caller, program = self.programs[code]
            for other in self.callers:
                if other is not caller and key in other.has and other.lease and key in other.lease.claim.held:
                    self.wrong.append(f"{caller.name} ran on {key}, which {other.name} had")
            return program()

        return answer

    def add(self, caller: Caller, program: Callable[[], Answer]) -> str:
        code = f"program_{len(self.programs)}"
        self.programs[code] = caller, program
        return code

    def heal(self) -> None:
        """Make all boards sound again."""

        async def restart() -> None:
            for board in self.boards.values():
                board.away = None
                board._wire.plugged = True
                board.resume()
                board.restart(HardReset())

        self.run(restart())
        self.preparing = dict.fromkeys(KEYS, "well")

    # -- callers ------------------------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        work: Callable[[Caller], Coroutine[Any, Any, Any]],
        seconds: float,
        *errors: type[BaseException],
    ) -> Caller:
        caller = Caller(name, self.loop.time() + seconds, errors)
        caller.task = self.loop.create_task(work(caller), context=Context())
        caller.task.add_done_callback(lambda _: setattr(caller, "ended", self.loop.time()))
        self.callers.append(caller)
        return caller

    def is_being_stopped(self, key: str) -> bool:
        """Whether a recovery has the board."""
        session = self.manager._pool.members[key].session
        return session is not None and session._recovery.running

    async def acquire(self, caller: Caller, lease: Lease[Any], timeout: float) -> tuple[DeviceSession, ...]:
        """Take a lease, and look whether it came in time and in its turn."""
        began = self.loop.time()
        self.arrivals += 1
        caller.arrived, caller.lease = self.arrivals, lease
        try:
            got = await lease.acquire()
        except BaseException as error:
            # A board whose check was cut off is stopped first; that has a deadline, and its next owner waits for it.
            kept = [key for key in lease.claim.held if not self.is_being_stopped(key)]
            assert not kept, "a lease that failed has kept something"
            self.seen[f"no lease: {type(error).__name__}"] += 1
            raise
        finally:
            took = self.loop.time() - began
            assert took <= timeout + RECOVERY_TIMEOUT + SLACK, f"{caller.name} took {took} s of {timeout}"
        sessions = got if isinstance(got, tuple) else (got,)
        held = [session.device_id for session in sessions]
        assert set(held) == set(lease.claim.granted) == set(lease.claim.held), "all or none"
        for other in self.callers:
            if other is not caller and other.lease is not None:
                assert not other.has & set(held) & set(other.lease.claim.held), "two have one board"
                waits = other.lease.claim.number in self.manager._pool.plan.waiting
                barged = waits and other.key is not None and other.key in held and other.arrived < caller.arrived
                assert not barged, f"{caller.name} came before {other.name}"
        caller.has = set(held)
        self.seen[f"leases of {len(held)}"] += 1
        return sessions

    async def execute(self, caller: Caller, session: DeviceSession, program: str, timeout: float) -> None:
        """Execute, and look whether it ended in time and told the truth."""
        output = f"output {len(self.programs)}"
        code = self.add(caller, lambda: PROGRAMS[program](output))
        began = self.loop.time()
        try:
            result = await session.execute(code, timeout=timeout)
        except ExecutionError as error:
            self.check_its_error(error, program, output)
        except (BelayError, asyncio.CancelledError) as error:
            self.seen[f"{program}: {type(error).__name__}"] += 1
            self.check_its_outcome(error, code)
            raise
        else:
            assert result.output == output, "somebody else's output"
            self.seen[f"{program}: done"] += 1
        finally:
            took = self.loop.time() - began
            assert took <= timeout + RECOVERY_TIMEOUT + SLACK, f"an execution took {took} s of {timeout}"

    def check_its_error(self, error: ExecutionError, program: str, output: str) -> None:
        own = program == "raises" and (error.type, error.output) == ("ValueError", output)
        assert own or error.type == "KeyboardInterrupt", f"not its own error: {error!r}"

    def check_its_outcome(self, error: BaseException, code: str) -> None:
        if getattr(error, "outcome", None) == "not_started":
            ran = {execution.code for board in self.boards.values() for execution in board.executions}
            assert code not in ran, f"it ran, in spite of {error!r}"

    # -- listeners ----------------------------------------------------------------------------------------------

    def on_event(self, event: happened.SessionEvent) -> None:
        """Follow the path of each session."""
        try:
            self.follow(event)
        except AssertionError as error:
            self.wrong.append(f"{event!r}: {error}")

    def follow(self, event: happened.SessionEvent) -> None:
        session = event.session
        self.seen[type(event).__name__] += 1
        if isinstance(event, happened.SessionCreated):
            assert id(session) not in self.paths, "created twice"
            self.paths[id(session)] = session, Path()  # kept, so that its number is nobody else's
            return
        key, plan = session.device_id, self.manager._pool.plan
        path = self.paths[id(session)][1]
        assert not path.disposed or isinstance(event, happened.LeaseEvent), "something came after the end"
        match event:
            case happened.StateChanged():
                assert event.old is path.state
                assert (event.old, event.new) in LEGAL
                path.state = event.new
            case happened.SessionConnected():
                assert event.generation == path.generation + 1
                path.generation, path.given_up = event.generation, False
                assert plan.slots <= plan.max_open
            case happened.SessionDisconnected(reason="evicted"):
                assert not session.options.pinned
                assert not any(key in caller.has and key in caller.lease.claim.held for caller in self.leased())
                self.seen["evicted"] += 1
            case happened.Reconnecting():
                # A board that is connected, and then fails to be prepared, does not begin anew.
                assert event.attempt in (1, path.attempts + 1)
                assert self.manager.state == "open", "a reconnection after the end"
                options = session.options
                ceiling = min(options.max_reconnect_delay, options.reconnect_delay * 2 ** (event.attempt - 1))
                assert 0 <= event.delay <= ceiling
                assert event.attempt <= options.max_reconnect_attempts
                path.attempts, path.given_up = event.attempt, False
            case happened.ReconnectFailed():
                assert not path.given_up, "announced twice"
                path.given_up, path.attempts = True, 0
            case happened.SessionDisposed():
                path.disposed = True

    def listen(self, event: happened.SessionEvent) -> None:
        if self.listening == "badly":
            raise ValueError("a listener's own")

    async def listen_slowly(self, event: happened.SessionEvent) -> None:
        if self.listening == "badly":
            raise ValueError("a listener's own")
        if self.listening == "slowly":
            await asyncio.sleep(0.3)

    async def prepare(self, session: DeviceSession) -> None:
        """Prepare a board after each connect, as its owner asked for."""
        how = self.preparing[session.device_id]
        if how == "fails":
            raise ValueError("no sensor")
        if how == "hangs":
            await asyncio.sleep(3600)
        if how == "executes":
            assert (await session.execute("unknown to the board")).output == ""

    # -- what must hold -----------------------------------------------------------------------------------------

    def leased(self) -> list[Any]:
        return [caller for caller in self.callers if caller.lease is not None]

    @invariant()
    def nothing_was_wrong(self) -> None:
        type(self).steps += 1
        assert not self.wrong, self.wrong[0]

    @invariant()
    def callers_end_in_time_and_nothing_swallows_their_cancellation(self) -> None:
        for caller in list(self.callers):
            if caller.ended is None:
                assert self.loop.time() <= caller.latest_end + SLACK, f"{caller.name} has not ended"
                continue
            self.callers.remove(caller)
            assert caller.ended <= caller.latest_end + SLACK, f"{caller.name} ended late"
            assert caller.task is not None
            assert caller.task.cancelled() == caller.cancelled, f"{caller.name} and its cancellation: {caller.task}"
            if caller.cancelled:
                self.seen["cancelled"] += 1
            elif (error := caller.task.exception()) is not None:
                if not isinstance(error, caller.errors):
                    raise error
                assert str(error)

    @invariant()
    def the_books_are_in_order(self) -> None:
        pool, plan = self.manager._pool, self.manager._pool.plan
        places = plan.places
        assert set(places) == set(pool.members)
        assert plan.slots == sum(place.open or place.holder is not None for place in places.values())
        assert plan.slots <= plan.max_open
        assert sum(board.connected for board in self.boards.values()) <= plan.max_open
        held = [key for key, place in places.items() if place.holder is not None]
        assert plan.granted == plan.released + len(held)
        for claim in plan.claims():
            assert set(claim.held) == {key for key, place in places.items() if place.holder is claim}
        assert len(plan.waiting) <= plan.max_waiting
        assert pool.counters.leases_granted == pool.counters.leases_released + len(pool.leases)
        assert all(lease.claim.held for lease in pool.leases.values())
        for key, member in pool.members.items():
            connected = member.session is not None and member.session.state in (
                State.CONNECTED,
                State.ACTIVE,
                State.IDLE,
            )
            assert not connected or places[key].open, f"{key} is connected and takes no slot"
            assert not self.boards[key].connected or places[key].occupies, f"the port of {key} is open and in no slot"
        assert self.closing == plan.draining
        assert self.manager.ids() == tuple(session.device_id for session in self.manager)

    @invariant()
    def counters_never_fall(self) -> None:
        counters = {
            name: value
            for name, value in dataclasses.asdict(self.manager._pool.counters).items()
            if isinstance(value, int)
        }
        assert all(counters[name] >= value for name, value in self.counted.items())
        self.counted = counters

    # -- the end ------------------------------------------------------------------------------------------------

    def end_manager(self) -> None:
        """Close it, and look that nothing is left."""
        self.closing = True
        self.run(self.manager.close(grace=0))
        pool = self.manager._pool
        assert not any(board.connected for board in self.boards.values())
        # Who listens slowly, who has lost a lease, and an on_connect that hangs until its deadline, come to their ends.
        self.let_time_pass(10_000)
        assert pool.plan.slots == 0
        assert not pool.leases
        assert not pool.plan.places
        assert list(self.manager) == []
        self.callers_end_in_time_and_nothing_swallows_their_cancellation()
        self.nothing_was_wrong()
        self.counters_never_fall()
        assert not self.callers
        assert not pool.tasks
        assert asyncio.all_tasks(self.loop) == set()
        assert pool.plan.granted == pool.plan.released
        left = [session for session, path in self.paths.values() if not path.disposed]
        assert not left, left

        async def refused() -> None:
            with pytest.raises(SessionClosed):
                await self.manager.lease("a", timeout=5).acquire()

        before = self.loop.time()
        self.run(refused())
        assert self.loop.time() == before

    def use_all(self) -> None:
        """A new manager has all boards, and each answers."""

        async def use() -> None:
            caller = Caller("the new manager", 0, ())
            for key in KEYS:
                session = await self.manager.create_session(key, self.options(key, pinned=False))
                await self.execute(caller, session, "prints", 5)

        self.run(use())

    def teardown(self) -> None:
        try:
            self.end_manager()
            self.heal()
            self.renew(2, 1000)
            self.use_all()
            self.end_manager()
        finally:
            self.runner.close()
            self.log.setLevel(self.level)


def _programs() -> dict[str, Callable[[str], Answer]]:
    from belay_py.testing import Forever, Lose, Pause, Raise, Silence, SwallowInterrupts

    return {
        "prints": lambda output: output,
        "prints slowly": lambda output: (output[:3], Pause(0.4), output[3:]),
        "raises": lambda output: (output, Raise("ValueError", "bad")),
        "loops": lambda _: Forever(b"again\r\n", 0.1),
        "resists": lambda _: (SwallowInterrupts(), Forever()),
        "loses the link": lambda output: (output, Lose("pulled"), Pause(0.5)),
        "hangs": lambda output: (output, Silence()),
        "restarts": lambda output: (output, HardReset()),
    }


PROGRAMS = _programs()
