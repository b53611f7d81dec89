"""Evaluations beside others who restart the board."""

from __future__ import annotations

import asyncio

from belay_py import DeviceSession


async def test_resets_of_others_do_not_come_between_the_encoder_and_what_needs_it(port: str) -> None:
    async with DeviceSession(port) as session:

        async def resets() -> None:
            while True:
                await session.soft_reset()

        others = asyncio.create_task(resets())
        try:
            for number in range(5):
                assert await session.evaluate(f"[{number}]") == [number]
        finally:
            others.cancel()
            await asyncio.wait([others])
