"""What becomes of a program on a real board when its manager closes."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, Literal

import pytest

from belay_py import BelayError, DeviceSession, DeviceSessionManager
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    import socket

BLINK = """
from machine import Pin
led = Pin(25, Pin.OUT)
while True:
    led.toggle()
"""


def answer_to_enter(wire: socket.socket) -> bytes:
    """What a board says to Enter, up to its friendly prompt."""
    wire.send(b"\r")
    got = b""
    while b"\n>>> " not in got and select.select([wire], [], [], 10)[0]:
        got += wire.recv(1000)
    return got


async def begin_to_blink(
    board: VirtualBoard, on_close: Literal["stop", "leave"], *, leased: bool
) -> tuple[DeviceSessionManager, asyncio.Task[object]]:
    manager = DeviceSessionManager(on_close=on_close)
    await manager.create_session("board", board.port)

    async def blink() -> object:
        if not leased:
            return await manager["board"].execute(BLINK, timeout=1000)
        async with manager.lease("board") as session:
            return await session.execute(BLINK, timeout=1000)

    running = asyncio.create_task(blink())
    while await board.pin(25) is None:
        await asyncio.sleep(0)
    return manager, running


@pytest.mark.parametrize("leased", [True, False])
async def test_it_is_stopped_and_the_board_is_at_its_friendly_prompt(leased: bool) -> None:
    async with VirtualBoard() as board:
        manager, running = await begin_to_blink(board, "stop", leased=leased)
        await manager.close(grace=0)
        with pytest.raises(BelayError):
            await running
        wire = await asyncio.to_thread(board.open_wire)
        with wire:
            assert (await asyncio.to_thread(answer_to_enter, wire)).endswith(b"\n>>> ")
        level = await board.pin(25)
        assert {await board.pin(25) for _ in range(100)} == {level}


@pytest.mark.parametrize("leased", [True, False])
async def test_it_goes_on_and_the_next_one_may_stop_it(leased: bool) -> None:
    async with VirtualBoard() as board:
        manager, running = await begin_to_blink(board, "leave", leased=leased)
        await manager.close(grace=0)
        with pytest.raises(BelayError, match="nobody can tell how far it came"):
            await running
        seen = set[int | None]()
        while seen != {0, 1}:
            seen.add(await board.pin(25))
        async with DeviceSession(board.port) as session:
            assert await session.evaluate("led.value()") in (0, 1)


async def test_a_board_that_runs_nothing_is_left_at_its_friendly_prompt_in_any_case() -> None:
    async with VirtualBoard() as board:
        async with DeviceSessionManager(on_close="leave") as manager:
            await manager.create_session("board", board.port)
        wire = await asyncio.to_thread(board.open_wire)
        with wire:
            assert (await asyncio.to_thread(answer_to_enter, wire)).endswith(b"\n>>> ")
