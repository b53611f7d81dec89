"""One damaged, lost or repeated byte, anywhere in a conversation: the result is right, or the error is typed.

The code counts its own runs on the board. After each fault the next call is in step.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, task
from belay_py.errors import BelayError, BoardWasReset, ConnectionFailed, ExecutionError
from tests.session import noise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONTROL = [bytes([value]) for value in b"\x00\x01\x02\x03\x04\x05\r\n'\"\\#A(,)"]
DAMAGE: list[bytes | int] = [0x01, 0x10, 0x80, noise.LOST, noise.TWICE, *CONTROL]
BOARDS = 4
COUNT = "N = N + 1\nprint('run', N, '\\x04>')"
FAILS = "N = N + 1\nprint('run', N)\nraise ValueError('after run %d' % N)"


async def execute(session: DeviceSession, runs: int) -> None:
    assert (await session.execute(COUNT)).output_bytes == b"run %d \x04>\r\n" % runs


async def fail(session: DeviceSession, runs: int) -> None:
    with pytest.raises(ExecutionError) as caught:
        await session.execute(FAILS)
    error = caught.value
    assert (error.output_bytes, error.type, error.message) == (
        b"run %d\r\n" % runs, "ValueError", f"after run {runs}",
    )  # fmt: skip
    assert 'File "<stdin>", line 3, in <module>' in error.traceback


async def stream(session: DeviceSession, runs: int) -> None:
    """The pieces may be damaged; then the end tells."""
    pieces = [piece async for piece in session.stream(COUNT, mode="bytes")]
    assert b"".join(pieces) == b"run %d \x04>\r\n" % runs


async def evaluate(session: DeviceSession, runs: int) -> None:
    assert await session.evaluate("N = N + 1\n(N, [2.5, 'x'])") == (runs, [2.5, "x"])


@task
def count(values: Any, by: float = 0.1) -> Any:
    global N  # noqa: PLW0603  it is the board's
    N += 1
    return N, values, by


async def call(session: DeviceSession, runs: int) -> None:
    assert await session.task(count)([2.5, 0.3, "xy"]) == (runs, [2.5, 0.3, "xy"], 0.1)


N: int  # on the board


class Campaign:
    """One session with its board, and the runs that its code has counted."""

    def __init__(self, name: str, noises: dict[str, noise.Noise]) -> None:
        self.name = name
        self.noises = noises
        self.runs = 0
        self.session = DeviceSession(
            f"noisy:{name}", communication={"integrity": True}, operation_timeout=4, recovery_timeout=2
        )

    async def begin(self) -> None:
        await self.session.connect()
        await self.session.evaluate("0")
        await self.session.execute("N = 0")

    async def lengths(self, act: Callable[[DeviceSession, int], Awaitable[None]]) -> dict[noise.Direction, int]:
        wire = self.noises[self.name]
        wire.arm("to_board", -1, b"")
        self.runs += 1
        await act(self.session, self.runs)
        return {"to_board": wire.to_board.position, "from_board": wire.from_board.position}

    async def strike(
        self, act: Callable[[DeviceSession, int], Awaitable[None]], fault: tuple[noise.Direction, int, Any]
    ) -> str:
        session, epoch = self.session, self.session.boot_epoch
        self.noises[self.name].arm(*fault)
        outcome = "right"
        try:
            await act(session, self.runs + 1)
        except BelayError as error:
            outcome = getattr(error, "outcome", type(error).__name__)
        self.noises[self.name].arm("to_board", -1, b"")
        counted = None
        try:
            counted = await session.evaluate("N")
        except BoardWasReset:
            pass
        except ExecutionError as error:
            assert error.type == "NameError", fault  # noqa: PT017  a restart leaves no N; any other error is a fault
        if counted is None:  # a byte that became \x04 in the right place is a soft reset, and is told as one
            assert session.boot_epoch > epoch, fault
            await session.execute("N = 0")
            self.runs = 0
            return outcome
        expected = {"right": (1,), "not_started": (0,)}.get(outcome, (0, 1))
        assert counted - self.runs in expected, (fault, outcome, counted, self.runs)
        self.runs = counted
        return outcome


@pytest.mark.parametrize(("act", "faults"), [(execute, 200), (fail, 100), (stream, 80), (evaluate, 100), (call, 100)])
async def test_one_bad_byte_gives_the_right_result_or_a_typed_error(
    act: Callable[[DeviceSession, int], Awaitable[None]], faults: int
) -> None:
    noises = noise.install()
    campaigns = [Campaign(f"{act.__name__}-{number}", noises) for number in range(BOARDS)]
    await asyncio.gather(*(campaign.begin() for campaign in campaigns))
    lengths = await campaigns[0].lengths(act)
    cases = [(way, at, damage) for way, length in lengths.items() for at in range(length) for damage in DAMAGE]
    random.Random(5).shuffle(cases)
    outcomes: list[str] = []

    async def work(number: int) -> None:
        for case in cases[:faults][number::BOARDS]:
            outcomes.append(await campaigns[number].strike(act, case))  # noqa: PERF401  several tasks append in turn

    try:
        await asyncio.gather(*(work(number) for number in range(BOARDS)))
    finally:
        await asyncio.gather(*(campaign.session.close() for campaign in campaigns))
    # Damage on the way there is repaired, for nothing has run; of that on the way back a part cannot be.
    assert outcomes.count("right") > faults // 2
    assert len(outcomes) == faults


async def test_connecting_through_one_bad_byte_knows_the_board_or_fails() -> None:
    noises = noise.install()
    probe = DeviceSession("noisy:connect", communication={"integrity": True})
    noises["connect"] = wire = noise.Noise()
    await probe.connect()
    known = probe.info
    assert known is not None
    lengths: dict[noise.Direction, int] = {"to_board": wire.to_board.position, "from_board": wire.from_board.position}
    await probe.disconnect()
    cases = [(way, at, damage) for way, length in lengths.items() for at in range(length) for damage in DAMAGE]
    for way, at, damage in random.Random(6).sample(cases, 60):
        wire.arm(way, at, damage)
        session = DeviceSession("noisy:connect", communication={"integrity": True}, connection_timeout=10)
        try:
            await session.connect()
        except ConnectionFailed:
            continue
        finally:
            wire.arm("to_board", -1, b"")
            found = session.info
            await session.close()
        assert found is not None
        assert (found.unique_id, found.version, found.capabilities) == (
            known.unique_id, known.version, known.capabilities,
        )  # fmt: skip
    await probe.close()


async def test_an_installation_whose_answer_came_damaged_is_done_again_however_long_the_code_may_take() -> None:
    noises = noise.install()
    session = DeviceSession("noisy:install", communication={"integrity": True})
    await session.connect()
    wire = noises["install"]

    async def execute_after_a_restart(lost: int) -> None:
        channel = session._standing.channel
        assert channel is not None
        deadline = session._standing.deadline(5)
        await channel.soft_reset(deadline)
        await channel.enter(deadline)
        wire.arm("from_board", lost, noise.LOST)
        with pytest.raises(BoardWasReset) as caught:
            await session.execute("print('ran')", timeout=math.inf)
        assert caught.value.outcome == "not_started"

    await execute_after_a_restart(-1)
    # The installation ends in a NameError of its marker, after which a fence asks whether that was the end.
    answer = wire.from_board.sent.rindex(b"KeyError: ")
    async with asyncio.timeout(30):
        await execute_after_a_restart(answer)
    assert wire.from_board.struck
    await session.close()
