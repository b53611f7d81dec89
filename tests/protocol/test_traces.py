"""Traces of sessions on real MicroPython, replayed to `RawRepl` cut at every byte."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Literal

import pytest

from belay_py import CommunicationOptions, DeviceSession, ExecutionError
from belay_py.protocol import BoardReset, Event, Finished, RawRepl, Ready, ReplState
from belay_py.session import info
from belay_py.transports.tracing import TracedLink, read_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Step = Callable[[RawRepl], None]

CODES = [
    "print('grüße')",
    "for i in range(3): print(i)",
    "x = 1  # " + "a long line of code, longer than two windows " * 8 + "\nprint(x)",
    "1/0",
]
# None prints what could be an end: whether that is worth a question to the board depends on how the reads split it.


async def record(port: str, path: Path, framing: Literal["marked", "plain"]) -> list[bytes]:
    """Trace a session that runs `CODES`; return their outputs."""
    outputs = []
    async with DeviceSession(port, trace=path, communication=CommunicationOptions(framing=framing)) as session:
        for code in CODES:
            with contextlib.suppress(ExecutionError):
                outputs.append((await session.execute(code)).output_bytes)
    return outputs


def steps_of(link: TracedLink, framing: str) -> list[Step]:
    """What the session asked of its `RawRepl`: with the random words that can be read in what it sent."""
    sent = link.sent_by("host")
    match = re.search(rb"print\('(\w+)'\+'(\w+)'\)", sent)
    assert match is not None
    nonce = (match[1] + match[2]).decode()
    named = re.search(rb"_belay_life='(\w+)'", b"".join(piece.data for piece in link.pieces if piece.sender == "host"))
    assert named is not None
    life = named[1].decode()
    steps: list[Step] = [lambda repl: repl.enter(nonce), lambda repl: repl.submit(info.code(life))]
    markers = re.findall(rb"_q\(b'([\w-]{4})'\)\x04(?:\x05A\x01\{\}\['([\w-]+)'\])?", sent)
    for number, code in enumerate(CODES):
        word = b"".join(markers[number]).ljust(10, b"-").decode() if framing == "marked" else ""
        steps.append(lambda repl, code=code, word=word: repl.submit(code.encode(), nonce=word))  # type: ignore[misc]  # mypy does not infer a lambda's defaults
    steps.append(lambda repl: repl.leave())
    return steps


def replay(link: TracedLink, framing: str, cut_at: int | None, *, byte_by_byte: bool = False) -> list[Event]:
    """Play the host's part again, the board's being the recorded one; check that it sends the same bytes."""
    repl = RawRepl()
    steps = iter(steps_of(link, framing))
    events: list[Event] = []
    sent = b""
    offset = 0
    for piece in link.pieces:
        if piece.sender == "host":
            if repl.state in (ReplState.UNKNOWN, ReplState.READY):
                next(steps)(repl)
                sent += repl.data_to_send()
            continue
        cuts = {cut_at - offset} if cut_at is not None else set()
        borders = range(len(piece.data)) if byte_by_byte else sorted({0} | {c for c in cuts if 0 < c < len(piece.data)})
        for start, end in zip(borders, [*borders[1:], len(piece.data)], strict=True):
            repl.receive_data(piece.data[start:end])
            while (event := repl.next_event()) is not None:
                events.append(event)
            sent += repl.data_to_send()
        offset += len(piece.data)
    assert sent == link.sent_by("host")
    assert next(steps, None) is None
    return events


@pytest.mark.parametrize("framing", ["marked", "plain"])
async def test_a_traced_session_cut_at_every_byte(
    port: str, tmp_path: Path, framing: Literal["marked", "plain"]
) -> None:
    path = tmp_path / "trace"
    outputs = await record(port, path, framing)
    [link] = read_trace(path)
    assert link.port == port
    assert [event["event"] for event in link.events] == ["opened", "closed"]
    events = replay(link, framing, None)
    ready, about, *finished = events
    assert isinstance(ready, Ready)
    assert isinstance(about, Finished)
    assert b"_q=" in link.sent_by("host")
    assert not any(isinstance(event, BoardReset) for event in events)
    replayed = [event for event in finished if isinstance(event, Finished)]
    assert [event.output for event in replayed if not event.traceback] == outputs
    assert [b"ZeroDivisionError" in event.traceback for event in replayed if event.traceback] == [True]
    assert replay(link, framing, None, byte_by_byte=True)[1:] == events[1:]
    for position in range(len(link.sent_by("board"))):
        assert replay(link, framing, position)[1:] == events[1:]
