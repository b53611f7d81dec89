"""What `detect` says of boards that misbehave, on a virtual clock, and that nothing is left when it is cancelled."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from belay_py import BelayError, ConnectionFailed, detect
from belay_py.testing import Forever, HardReset, Instead, Lose, Pause, Raise, ScriptedBoard, Silence, SoftReset
from belay_py.testing.housekeeping import FACTS
from belay_py.testing.steps import SwallowInterrupts
from belay_py.transports import LinkOptions, Receiver, Transport, register
from tests.session.test_cancellation import CuttingClock, open_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from belay_py.testing import Step


def says(**facts: object) -> str:
    """The answer of a board to the question what it is."""
    return f"{dict(FACTS) | facts!r}\n"


async def test_circuitpython_is_told_by_its_name() -> None:
    board = ScriptedBoard()
    board.about = says(n="circuitpython", v=(9, 2, 1), m="Adafruit Feather\r\nRP2040")
    found = await detect(board.port)
    assert (found.kind, found.heard) == ("circuitpython", b"")
    assert found.description == "CircuitPython 9.2.1 on Adafruit Feather RP2040"
    assert found.info is not None
    assert found.info.implementation == "circuitpython"


async def test_another_implementation_is_something_else_that_said_what_it_is() -> None:
    board = ScriptedBoard()
    board.about = says(n="snek", v=(1, 9), m=None, p=None)
    found = await detect(board.port)
    assert (found.kind, found.description) == ("other", "snek 1.9")
    assert found.info is not None
    assert b"snek" in found.heard


@pytest.mark.parametrize("raw_paste", ["supported", "refused", "unknown"])
async def test_a_board_by_script_is_left_at_its_friendly_prompt(raw_paste: str) -> None:
    board = ScriptedBoard(raw_paste=raw_paste)  # type: ignore[arg-type]  # pytest's parameters are text
    found = await detect(board.port)
    assert (found.kind, found.description) == ("micropython", "MicroPython 1.29.0 on A board by script")
    assert found.info is not None
    assert found.info.capabilities.raw_paste is (raw_paste == "supported")
    assert board.received.endswith(b"\x02")
    assert not board.connected
    assert board.executions == []


async def test_a_board_that_hangs_is_silent_for_the_whole_time() -> None:
    board = ScriptedBoard()
    board.silent = True
    began = asyncio.get_running_loop().time()
    found = await detect(board.port, timeout=4, connection_timeout=1)
    assert asyncio.get_running_loop().time() == began + 4
    assert (found.kind, found.heard, board.connected) == ("silent", b"", False)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("[]\n", "looks like a Python prompt that does not answer as it should"),
        (Silence(), "looks like a Python prompt that does not answer as it should"),
        (Raise("MemoryError", "memory allocation failed"), "a board that has no memory left to run anything"),
        (Instead(b"\x04\x04nonsense"), "looks like a Python prompt that does not answer as it should"),
        (SoftReset(), "looks like a Python prompt that does not answer as it should"),
    ],
)
async def test_a_board_that_cannot_say_what_it_is_is_something_else(about: Step, words: str) -> None:
    board = ScriptedBoard()
    board.about = about
    began = asyncio.get_running_loop().time()
    found = await detect(board.port)
    assert asyncio.get_running_loop().time() <= began + 5
    assert (found.kind, found.info, board.connected) == ("other", None, False)
    assert words in found.description
    assert found.heard


@pytest.mark.parametrize("restart", [SoftReset(), HardReset()])
async def test_a_board_that_restarts_meanwhile_is_asked_again(restart: Step) -> None:
    def once() -> Iterator[Step]:
        board.about = None
        yield restart

    board = ScriptedBoard()
    board.about = once()
    assert (await detect(board.port)).kind == "micropython"


async def test_a_program_that_takes_its_time_to_stop() -> None:
    board = ScriptedBoard()
    board.boot = SwallowInterrupts(4), Forever(b"no\r\n", every=0.1)
    board.restart()
    assert (await detect(board.port)).kind == "micropython"


async def test_a_program_that_never_stops() -> None:
    board = ScriptedBoard()
    board.boot = SwallowInterrupts(), Forever(b"no\r\n", every=0.1)
    board.restart()
    found = await detect(board.port)
    assert (found.kind, found.heard[-4:]) == ("other", b"no\r\n")


async def test_a_link_that_is_lost_meanwhile() -> None:
    board = ScriptedBoard()
    board.about = Lose("pulled")
    with pytest.raises(ConnectionFailed, match=f"{board.port} was lost during the handshake; .*pulled"):
        await detect(board.port)


async def test_a_port_that_never_opens_ends_at_the_deadline() -> None:
    async def never(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        del port, receiver, options
        await asyncio.sleep(1e6)
        raise AssertionError

    register("never", never)
    began = asyncio.get_running_loop().time()
    with pytest.raises(ConnectionFailed, match="never:1 could not be opened within 2 s"):
        await detect("never:1", timeout=2)
    assert asyncio.get_running_loop().time() == began + 2


# ---- Cancelled at every turn ----


def at_its_prompt() -> ScriptedBoard:
    return ScriptedBoard()


def hanging() -> ScriptedBoard:
    board = ScriptedBoard()
    board.silent = True
    return board


def flooding() -> ScriptedBoard:
    board = ScriptedBoard()
    board.boot = SwallowInterrupts(), Forever(b"no\r\n", every=0.3)
    board.restart()
    return board


def slow() -> ScriptedBoard:
    board = ScriptedBoard(raw_paste="unknown", chunks=40)
    board.about = Pause(1), says()
    return board


def restarting() -> ScriptedBoard:
    board = ScriptedBoard()
    board.about = SoftReset()
    return board


def pulled() -> ScriptedBoard:
    board = ScriptedBoard()
    board.about = Lose()
    return board


async def cut(make: Callable[[], ScriptedBoard], turn: int) -> bool:
    """Detect, cancel it at a turn, and look whether anything is left; return whether it was over before."""
    clock = asyncio.get_running_loop()
    assert isinstance(clock, CuttingClock)
    board = make()
    task = asyncio.ensure_future(detect(board.port))
    clock.turns_left, clock.cut = turn, task.cancel
    await asyncio.wait([task])
    was_over = clock.cut is not None
    clock.cut = None
    if not task.cancelled():
        error = task.exception()
        assert error is None or isinstance(error, BelayError)
    assert not board.connected
    board.silent, board.boot, board.about = False, None, None
    board.restart()
    assert (await detect(board.port)).kind == "micropython"
    assert not board.connected
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return was_over


@pytest.mark.parametrize("make", [at_its_prompt, hanging, flooding, slow, restarting, pulled])
def test_cancelled_at_every_turn_nothing_is_left(make: Callable[[], ScriptedBoard]) -> None:
    descriptors = open_descriptors()
    for turn in itertools.count():
        with asyncio.Runner(loop_factory=CuttingClock) as runner:
            if runner.run(cut(make, turn)):
                break
    assert turn >= 3
    assert open_descriptors() == descriptors
