"""The run of ``belay-py wire``: what becomes of the wire, said on stderr."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

from belay_py.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.cli.signals import StopRequest
    from belay_py.testing import FaultyWire

_LOOK_INTERVAL = 0.1
"""Seconds between two looks at what became of the wire; a signal is seen at once."""


def carry(
    wire: FaultyWire, stop: StopRequest, arm: Callable[[], None], limit: float, replug_after: float | None
) -> None:
    """Start the wire, call ``arm`` before anybody knows its port, and end it at a signal or after ``limit`` seconds.

    Raises `Disconnected` when the board goes.
    """
    asyncio.run(_Run(wire, stop, limit, replug_after).run(arm))


class _Run:
    """A wire from its start to a signal, its time, or the board's end."""

    def __init__(self, wire: FaultyWire, stop: StopRequest, limit: float, replug_after: float | None) -> None:
        self._wire = wire
        self._stop = stop
        self._end = time.monotonic() + limit
        self._replug_after = replug_after
        self._to_board = self._to_host = 0

    async def run(self, arm: Callable[[], None]) -> None:
        async with self._wire as wire:
            arm()
            print(wire.port, flush=True)
            _say(f"a wire to {wire.board_port} is at {wire.port}. Ctrl-C ends it")
            try:
                while await self._goes_on():
                    if wire.is_cut:
                        await self._after_cut()
            finally:
                if not wire.is_cut:
                    self._count()
                _say(f"{self._to_board} bytes passed to the board, {self._to_host} to the host")

    async def _goes_on(self, longest: float = _LOOK_INTERVAL) -> bool:
        left = self._end - time.monotonic()
        if left > 0 and not self._stop.requested:
            await asyncio.to_thread(self._stop.wait, timeout=min(left, longest))
        return not self._stop.requested and time.monotonic() < self._end

    async def _after_cut(self) -> None:
        self._count()
        if not self._wire.has_board:
            raise Disconnected(f"{self._wire.board_port} is gone; plug it in again and start the wire anew")
        if self._replug_after is None:
            _say("the wire is cut; Ctrl-C ends it")
            while await self._goes_on():
                pass
            return
        _say(f"the wire is cut; it is plugged in again in {self._replug_after:g} s")
        again = time.monotonic() + self._replug_after
        while (left := again - time.monotonic()) > 0 and await self._goes_on(left):
            pass
        if left <= 0:
            await self._wire.replug()
            _say(f"the wire is plugged in again at {self._wire.port}")

    def _count(self) -> None:
        self._to_board += self._wire.to_board.passed
        self._to_host += self._wire.to_host.passed


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
