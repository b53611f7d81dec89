"""The scripted board's prompts against conversations that were recorded with the official Pico firmware."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

import pytest

from belay_py.testing import Forever, HardReset, Instead, ScriptedBoard, SoftReset, VirtualClock
from belay_py.transports import LinkOptions, open_transport
from tests.protocol.test_recordings import HERE, RECORDINGS, Recording, named
from tests.transports.conformance import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.testing import Answer, Step

# What only a running Python shows, or an echo that people see: line editing, and input() of a program.
_NOT_SCRIPTED = {"enter_from_half_a_line", "input_from_host", "interrupt_caught", "plain_at_the_friendly_prompt"}
PICO = [r for r in RECORDINGS if r.name.startswith("pico-v1.25") and r.scenario not in _NOT_SCRIPTED]
WORDS = re.compile(rb"MicroPython v[^\r]*\r|line \d+")


def same(data: bytes) -> bytes:
    """Leave out what differs between any two boards: the version, and the line of an interrupt."""
    return WORDS.sub(b"*", data)


def answer(recording: Recording) -> Answer:
    """What the recorded program did."""

    def steps() -> Iterator[Step]:
        # No response comes of a hard reset, so the recording has no output; this is what the chip sent before it went.
        yield b"bye" if recording.reset == "hard" else recording.output
        if recording.reset == "soft":
            yield SoftReset()
        elif recording.reset == "hard":
            yield HardReset()
        elif b"KeyboardInterrupt" in recording.traceback:
            yield Forever()
        elif recording.traceback:
            yield Instead(b"\x04" + recording.traceback + b"\x04>")

    return steps()


def test_there_are_recordings_of_every_kind() -> None:
    assert len(PICO) > 30
    assert {r.reset for r in PICO} == {None, "soft", "hard"}
    assert any(r.aborted for r in PICO)


@pytest.mark.parametrize("recording", named(PICO))
def test_it_says_what_the_pico_said(recording: Recording) -> None:
    wanted = recording.code.decode().removesuffix("\n")

    async def play() -> tuple[bytes, bytes]:
        board = ScriptedBoard(mode="friendly" if "friendly" in recording.start else "raw")
        if recording.aborted:
            whole_windows = b"".join(recording.answers[1:]).partition(b"\x04")[0].count(b"\x01")
            board.abort_upload(whole_windows * recording.window + 1, recording.traceback.decode().replace("\r\n", "\n"))
        recorder = Recorder()
        transport = await open_transport(board.port, recorder, LinkOptions())
        if recording.start.startswith("running"):
            board.on_code = lambda _: Forever()
            transport.write(b"loop\r" if "friendly" in recording.start else b"loop\x04")
            await asyncio.sleep(1)
            recorder.data.clear()
        board.on_code = lambda code: answer(recording) if code == wanted else None
        for who, text in json.loads((HERE / f"{recording.name}.json").read_text(encoding="utf-8"))["exchange"]:
            if who == "host":
                transport.write(text.encode("latin-1"))
                await asyncio.sleep(1)
        transport.abort()
        await recorder.lost
        return bytes(recorder.data), recording.board

    said, recorded = VirtualClock.run(play())
    assert same(said) == same(recorded)
