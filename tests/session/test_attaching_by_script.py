"""Connecting to boards that do what no real one does on demand while they are restarted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import ConnectionFailed, DeviceSession, IdentityChanged
from belay_py.events import BoardReset, SessionEvent
from belay_py.session.answers import hashed
from belay_py.session.restarting import RESET_CHIP
from belay_py.testing import Lose, Raise, ScriptedBoard, Silence
from belay_py.testing.housekeeping import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("away", [None, 1.0], ids=["link stays", "link goes away"])
async def test_a_chip_whose_port_goes_away_is_waited_for(away: float | None) -> None:
    board = ScriptedBoard()
    board.away = away
    session = DeviceSession(board.port)
    await session.connect(reset="hard")
    assert session.attached is False
    assert board.boots == 2
    assert board.connections == (1 if away is None else 2)
    assert session.generation == 1
    await session.close()


async def test_a_board_that_cannot_reset_its_chip() -> None:
    board = ScriptedBoard()
    answer = board._housekeeping.answer

    def without_machine(code: bytes) -> Any:
        return (Raise("ImportError", "no module named 'machine'"),) if code == RESET_CHIP else answer(code)

    board._housekeeping.answer = without_machine  # type: ignore[method-assign]  # scripts get no code of a session's own
    session = DeviceSession(board.port)
    with pytest.raises(ConnectionFailed, match=r"cannot reset its chip by itself \(ImportError: no module named"):
        await session.connect(reset="hard")
    assert not board.connected
    await session.connect(reset="soft")
    await session.close()


@pytest.mark.parametrize("answer", [(Silence(),), (Lose(),)], ids=["says nothing", "is lost"])
async def test_a_question_that_a_restart_swallows_is_asked_again_and_a_lost_link_is_not(answer: Any) -> None:
    board = ScriptedBoard()
    board.about = answer
    session = DeviceSession(board.port, connection_timeout=20)
    loop = asyncio.get_running_loop()
    began = loop.time()
    if isinstance(answer[0], Silence):
        loop.call_later(1, board.restart)
        loop.call_later(1, setattr, board, "about", None)
        await session.connect()
        assert loop.time() - began < 6
    else:
        with pytest.raises(ConnectionFailed, match="lost during the handshake"):
            await session.connect()
    await session.close()


async def test_a_board_that_keeps_no_name_of_its_life() -> None:
    board = ScriptedBoard(marks=False)
    session = DeviceSession(board.port)
    await session.connect()
    await session.disconnect()
    await session.connect()
    assert session.attached is None
    assert session.boot_epoch == 2
    await session.close()


async def test_an_answer_that_was_damaged_is_asked_for_again() -> None:
    board = ScriptedBoard()

    def damaged_once() -> Iterator[str]:
        board.about = None
        yield "{'n': 'micropython', 'v': (1, 29, 0), 'u': 'another board'} 12345\n"

    board.about = damaged_once()
    async with DeviceSession(board.port) as session:
        assert session.info.unique_id == FACTS["u"]


async def test_an_answer_that_is_damaged_each_time_is_a_failed_connect() -> None:
    board = ScriptedBoard()
    board.about = "{'n': 'micropython', 'v': (1, 29, 0)} 12345\n"
    session = DeviceSession(board.port)
    with pytest.raises(ConnectionFailed, match="could not be read"):
        await session.connect()
    assert not board.connected
    await session.close()


async def test_what_a_thread_prints_beside_the_name_of_a_life_makes_no_other_life_of_it() -> None:
    board = ScriptedBoard()
    answer = board._housekeeping.answer

    def beside_a_thread(code: bytes) -> Any:
        steps = answer(code)
        return ("tick\n", *(steps or ()), "tock\n") if code.endswith(b"print(_belay_life)") else steps

    board._housekeeping.answer = beside_a_thread  # type: ignore[method-assign]  # scripts get no code of a session's own
    async with DeviceSession(board.port) as session:
        board.send("\x04")  # which nobody asked for: the prompt is proved, and the life asked for
        while not session._standing.channel.repl.doubted:  # type: ignore[union-attr]  # it is connected
            await asyncio.sleep(0)
        await session.execute("pass")
        assert session.boot_epoch == 1


def a_stranger() -> str:
    facts = repr(dict(FACTS, u="bad", l="another"))
    return f"{facts} {hashed(facts)}\n"


async def test_a_board_that_was_away_while_another_one_was_in_its_place_is_in_the_life_in_which_it_was() -> None:
    board = ScriptedBoard()
    session = DeviceSession(board.port)
    resets: list[SessionEvent] = []
    session.subscribe(lambda event: resets.append(event) if isinstance(event, BoardReset) else None)
    await session.connect()
    board.about = a_stranger()
    with pytest.raises(IdentityChanged):
        await session.reconnect()
    assert (session.boot_epoch, session.info.unique_id, resets) == (1, FACTS["u"], [])
    board.about = None
    await session.connect()
    assert (session.attached, session.boot_epoch, session.generation, resets) == (True, 1, 3, [])
    await session.close()


@pytest.mark.parametrize("reset", ["soft", "hard"])
async def test_another_board_is_not_even_restarted(reset: Any) -> None:
    board = ScriptedBoard()
    session = DeviceSession(board.port, reset=reset)
    await session.connect()
    assert board.boots == 2
    board.about = a_stranger()
    with pytest.raises(IdentityChanged):
        await session.reconnect()
    assert (board.boots, board.connected) == (2, False)
    await session.connect()  # who was told accepts it
    assert (board.boots, session.info.unique_id, session.attached, session.boot_epoch) == (3, "bad", False, 2)
    await session.close()


async def test_a_board_that_seems_to_be_another_one_is_asked_again() -> None:
    board = ScriptedBoard()

    def another_once() -> Iterator[str]:
        board.about = None
        yield f"{ {**FACTS, 'u': '0badcafe'}!r}\n"

    async with DeviceSession(board.port) as session:
        await session.disconnect()
        board.about = another_once()
        await session.connect()
        assert session.info.unique_id == FACTS["u"]
        await session.disconnect()
        board.about = f"{ {**FACTS, 'u': '0badcafe'}!r}\n"
        with pytest.raises(IdentityChanged):
            await session.connect()
