"""Faults on real pseudo-terminals, with real MicroPython behind them: a sample. All of them are for the run by hand."""

from __future__ import annotations

import asyncio
from random import Random

from . import benches
from .campaign import run
from .conversations import CONVERSATIONS
from .judging import BREAKS, NOISE, Judge
from .report import Report


def test_whatever_byte_fails_on_a_pty_the_end_is_the_right_one() -> None:
    report = Report(Judge())

    async def strike() -> None:
        async with benches.opened("virtual", 4, report) as opened:
            await run(opened, report, CONVERSATIONS, (*BREAKS, *NOISE), sample=300, chance=Random(5))

    asyncio.run(strike())
    assert report.failures == []
    assert report.grown == []
    # A busy machine may pass a deadline before the byte.
    assert report.total > 200
