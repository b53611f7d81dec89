"""Faults at bytes of conversations with the official Pico firmware: a sample. More are for the run by hand."""

from __future__ import annotations

import asyncio
from random import Random

from tests.faults import benches
from tests.faults.campaign import run
from tests.faults.conversations import CONVERSATIONS
from tests.faults.judging import BREAKS, NOISE, Judge
from tests.faults.report import Report


def test_whatever_byte_fails_the_end_is_the_right_one(pico_port: str) -> None:
    report = Report(Judge())

    async def strike() -> None:
        async with benches.opened_at("pico", [pico_port], report) as opened:
            await run(opened, report, CONVERSATIONS, (*BREAKS, *NOISE), sample=20, chance=Random(5))

    asyncio.run(strike())
    assert report.failures == []
    assert report.grown == []
