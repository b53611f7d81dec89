"""What fuzzing has found, with the smallest input; and a little of it in every run of the tests."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import CommunicationOptions, DeviceSession, SettingsError
from belay_py.errors import ProtocolViolation, ValueNotSupported
from belay_py.protocol import RawRepl, ReplState
from belay_py.session import info, values
from belay_py.session.tracebacks import execution_error
from belay_py.testing import FaultyWire, ScriptedBoard, VirtualClock
from belay_py.transports.traces import read_trace
from tests.fuzz import decoder, receiver
from tests.fuzz.__main__ import changed
from tests.protocol.test_recordings import ready

if TYPE_CHECKING:
    import random
    from pathlib import Path

TARGETS = {"receiver": receiver, "decoder": decoder}


@pytest.fixture(autouse=True)
def no_file_is_left() -> object:
    yield
    decoder.clean_up()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(TARGETS)), st.randoms(use_true_random=False))
def test_changed_seeds(target: str, chance: random.Random) -> None:
    found = TARGETS[target]
    found.run(changed(chance, found.seeds()))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=400))
def test_any_bytes(target: str, data: bytes) -> None:
    TARGETS[target].run(data)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_seeds(target: str) -> None:
    for seed in TARGETS[target].seeds():
        TARGETS[target].run(seed)


def plain_upload() -> RawRepl:
    """A board without raw-paste has the first chunk of some code."""
    repl = ready(0)
    repl.submit(b"x = 1\n" * 100)
    repl.data_to_send()
    repl.receive_data(b"R\x00>")
    assert repl.waits_for_time
    return repl


def test_no_paced_code_goes_out_in_the_middle_of_a_handshake() -> None:
    repl = plain_upload()
    repl.enter("abcdef")
    repl.data_to_send()
    repl.release_chunk()
    assert repl.data_to_send() == b""
    assert not repl.waits_for_time


def test_no_paced_code_goes_out_after_a_violation() -> None:
    repl = ready(0)
    repl.submit(b"x = 1\n" * 100)
    repl.data_to_send()
    with pytest.raises(ProtocolViolation, match="window changed"):
        repl.receive_data(b"R\x01\x80\x00\x01")
    repl.release_chunk()
    assert repl.data_to_send() == b""


def test_an_acknowledgement_of_code_that_is_not_sent_yet_is_a_violation() -> None:
    repl = plain_upload()
    with pytest.raises(ProtocolViolation, match="does not have yet") as caught:
        repl.receive_data(b"OK\x04\x04>")
    assert caught.value.outcome == "not_started"
    assert repl.state is ReplState.UNKNOWN


@pytest.mark.parametrize(
    "answer",
    [
        b"{'n':'a','v':(1,),'h':(1,'a')}",
        b"{'n':'a','v':('1',)}",
        b"{'n':'a','v':(1,),'m':1}",
        b"{'n':'a','v':(1,),'u':b''}",
        b"{'n':'a','v':None}",
        b"9" * 400 + b"+1j",
        b"[1]",
    ],
)
def test_a_wrong_answer_about_itself(answer: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        info.parse(answer, raw_paste=True, window=128)


def test_noise_in_place_of_an_answer_warns_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ProtocolViolation, match="could not be read") as caught:
            info.parse(b"0x1for x in y", raw_paste=True, window=128)
    assert "SyntaxError" not in str(caught.value)


def test_numbers_too_long_for_python_in_a_traceback() -> None:
    long = b"9" * 5000
    error = execution_error(b'Traceback (most recent call last):\n  File "<stdin>", line %s\nE: 1\n' % long, b"")
    assert error.frames == ()
    assert execution_error(b"OSError: " + long, b"").message == long.decode()
    assert execution_error(b"OSError: [Errno %s] x" % long, b"").type == "OSError"


def test_the_name_of_a_type_stays_in_its_line() -> None:
    with pytest.raises(ValueNotSupported, match="is a Pi n,"):
        values.parse(r"!'Pi\nn'")


@pytest.mark.parametrize(
    "line",
    [
        b'{"link": "a", "event": "opened", "port": 1}',
        b'{"link": "a", "t": "x", "from": "host", "data": ""}',
        b'{"link": "a", "t": 0, "from": "nobody", "data": ""}',
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_trace_with_other_things_in_it(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(b'{"t": 0, "link": "a", "event": "opened", "port": "p"}\n' + line + b"\n")
    with pytest.raises(SettingsError, match="line 2 of"):
        read_trace(path)


def test_a_session_never_sends_the_rest_of_paced_code_into_a_handshake() -> None:
    async def main() -> None:
        board = ScriptedBoard(raw_paste="refused")
        async with FaultyWire(board.port, latency=0.1) as wire:
            session = DeviceSession(wire.port, communication=CommunicationOptions(chunk=32, pace=0.15))
            await session.connect()
            board.raw_paste = "supported"
            with pytest.raises(ProtocolViolation, match="window changed"):
                await session.execute("a = 1\n" * 40)
            await asyncio.sleep(10)
            assert board.received.count(b"a = 1") < 12, "no chunk goes out after the doubt"
            await session.close()

    VirtualClock.run(main())
