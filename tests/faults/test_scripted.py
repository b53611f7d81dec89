"""Every fault at every byte against the scripted board, on a virtual clock: thousands in seconds."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from belay_py.protocol import ReplState
from belay_py.session import nonces
from belay_py.session.channel import Channel

from . import benches
from .campaign import run
from .conversations import BY_NAME
from .judging import BREAKS, NOISE, Judge, Kind
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable


def campaign(
    name: str, kinds: Iterable[Kind] = (*BREAKS, *NOISE), *, sample: int | None = None, baudrate: int | None = None
) -> Report:
    """Run one on a scripted board."""
    report = Report(Judge())

    async def strike() -> None:
        async with benches.opened("scripted", 1, report, baudrate=baudrate) as opened:
            await run(opened, report, [BY_NAME[name]], kinds, sample=sample, chance=Random(5))

    with benches.runner("scripted") as runner:
        runner.run(strike())
    return report


# Connecting is a question of 1 KB, and the first evaluation sends eight pieces of code before its own: all of these
# 21,000 faults are for the run by hand.
_SAMPLES = {"connect": 1500, "first evaluate": 1000}


@pytest.mark.parametrize(("name", "sample"), [(name, _SAMPLES.get(name)) for name in BY_NAME], ids=list(BY_NAME))
def test_whatever_byte_fails_the_end_is_the_right_one(name: str, sample: int | None) -> None:
    report = campaign(name, sample=sample)
    assert report.failures == []
    assert report.grown == []
    assert report.total > 300
    assert all(counter["not reached"] == 0 for counter in report.ends.values())


def test_without_recovery_it_goes_red(monkeypatch: pytest.MonkeyPatch) -> None:
    async def recover(self: Channel, deadline: float) -> bool:
        self.repl._forget_exchange(ReplState.READY)
        return False

    monkeypatch.setattr(Channel, "recover", recover)
    assert campaign("short execute", ("drop",)).failures
    assert campaign("interrupt", ("drop",)).failures


# Only where bytes take their time can an old answer come after the new conversation has begun.
@pytest.mark.parametrize("has_nonces", [True, False])
def test_without_nonces_in_the_handshake_it_goes_red(monkeypatch: pytest.MonkeyPatch, has_nonces: bool) -> None:
    if not has_nonces:
        monkeypatch.setattr(nonces, "of_handshake", lambda: "0123456789ab")
    assert bool(campaign("connect", ("stall",), sample=200, baudrate=115200).failures) is not has_nonces
