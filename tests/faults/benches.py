"""Boards behind faulty wires: by script, virtual, and the official Pico firmware on an emulator."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from belay_py import CommunicationOptions
from belay_py.testing import FaultyWire, ScriptedBoard, VirtualClock
from belay_py.virtual import VirtualBoard
from tests.firmware import artifacts
from tests.firmware.board import PicoBoard

from .campaign import Bench, Limits
from .conversations import Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .report import Report

LIMITS: Final = {
    # A virtual clock: what never comes is waited for in no time.
    "scripted": Limits(breaking=10, waiting=10, connection=30, recovery=5),
    "virtual": Limits(breaking=60, waiting=0.5, connection=0.6, recovery=0.6),
    "pico": Limits(breaking=60, waiting=1.5, connection=1.5, recovery=2),
}


@contextlib.asynccontextmanager
async def opened(
    kind: str, count: int, report: Report, *, baudrate: int | None = None, integrity: bool = False
) -> AsyncIterator[list[Bench]]:
    """Give connected benches of a kind, a key of `LIMITS`. With Picos, ``count`` does not count: one per firmware."""
    async with contextlib.AsyncExitStack() as stack:
        ports = await _ports(kind, count, stack)
        yield await stack.enter_async_context(opened_at(kind, ports, report, baudrate=baudrate, integrity=integrity))


@contextlib.asynccontextmanager
async def opened_at(
    kind: str, ports: list[str], report: Report, *, baudrate: int | None = None, integrity: bool = False
) -> AsyncIterator[list[Bench]]:
    """Give connected benches for boards that are there."""
    async with contextlib.AsyncExitStack() as stack:
        benches = []
        for port in ports:
            wire = await stack.enter_async_context(FaultyWire(port, baudrate=baudrate))
            bench = Bench(wire, LIMITS[kind], report, CommunicationOptions(integrity=integrity))
            stack.push_async_callback(bench.session.close)
            await bench.renew()
            benches.append(bench)
        yield benches


async def _ports(kind: str, count: int, stack: contextlib.AsyncExitStack) -> list[str]:
    if kind == "pico":
        return [
            stack.enter_context(PicoBoard(await asyncio.to_thread(artifacts.fetch, image))).port
            for image in artifacts.IMAGES
        ]
    if kind == "virtual":
        boards = [await stack.enter_async_context(VirtualBoard()) for _ in range(count)]
        return [board.port for board in boards]
    scripted = [ScriptedBoard() for _ in range(count)]
    for board in scripted:
        board.on_code = Script(board).on_code
    stack.callback(scripted.clear)  # they live as long as somebody refers to them
    return [board.port for board in scripted]


def runner(kind: str) -> asyncio.Runner:
    """The event loop for a kind of bench."""
    return asyncio.Runner(loop_factory=VirtualClock if kind == "scripted" else None)
