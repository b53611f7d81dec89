"""What a trace holds, and what becomes of a session whose trace cannot be written."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionState,
    OutcomeUnknown,
    SettingsError,
)
from belay_py.transports import LinkOptions, Receiver, SupportsLines, Transport, open_transport, register
from belay_py.transports.memory import memory_pair
from belay_py.transports.tracing import TracedTransport, open_traced, read_trace
from belay_py.virtual import VirtualBoard
from tests.transports.conformance import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 60.0


def events(path: Path) -> list[str]:
    return [event["event"] for link in read_trace(path) for event in link.events]


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def open_files() -> set[Path]:
    # The descriptor of the listing itself is gone when its link is read.
    return {fd.readlink() for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}


async def test_a_person_can_read_it(port: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    async with DeviceSession(port, trace=path) as session:
        await session.execute("print('hello')")
    found = entries(path)
    assert found[0]["event"] == "opened"
    assert found[0]["port"] == port
    assert str(found[0]["at"]).endswith("+00:00")
    assert any(entry.get("from") == "host" and "print('hello')" in str(entry["data"]) for entry in found)
    assert any(entry.get("from") == "board" and "hello\r\n" in str(entry["data"]) for entry in found)
    assert found[-1]["event"] == "closed"
    times = [float(str(entry["t"])) for entry in found]
    assert times == sorted(times)
    assert times[0] < times[-1] < PATIENCE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_every_byte_value_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    _, board = memory_pair()
    recorder = Recorder()
    transport = await open_traced(open_transport, board.port, recorder, LinkOptions(), str(path))
    everything = bytes(range(256))
    transport.write(everything)
    board.feed(everything)
    while len(recorder.data) < len(everything):
        await asyncio.sleep(0)
    transport.abort()
    transport.write(b"too late")
    await recorder.lost
    [link] = read_trace(path)
    assert [(piece.sender, piece.data) for piece in link.pieces] == [("host", everything), ("board", everything)]
    assert events(path) == ["opened", "closed"]


async def test_reconnections_and_resets_go_into_the_same_file(port: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    session = DeviceSession(port, trace=str(path))
    for _ in range(2):
        await session.connect()
        await session.execute("print(1)")
        await session.disconnect()
    await session.close()
    first, second = read_trace(path)
    assert b"print(1)" in first.sent_by("host")
    assert b"print(1)" in second.sent_by("host")
    assert second.events[0]["t"] < first.events[-1]["t"], "the time begins anew"


async def test_two_sessions_on_one_file_can_be_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    async with (
        VirtualBoard() as one,
        VirtualBoard() as two,
        DeviceSession(one.port, trace=path) as first,
        DeviceSession(two.port, trace=path) as second,
    ):
        await asyncio.gather(*(s.execute(f"print('from {n}')") for n, s in enumerate((first, second), start=1)))
    links = {link.port: link for link in read_trace(path)}
    assert b"from 1" in links[one.port].sent_by("board")
    assert b"from 2" in links[two.port].sent_by("board")
    assert b"from 2" not in links[one.port].sent_by("board")


async def test_a_board_that_is_lost_says_why(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    async with VirtualBoard() as board, DeviceSession(board.port, trace=path) as session:
        running = asyncio.create_task(session.execute("while True: pass", timeout=PATIENCE))
        while session.state is not DeviceSessionState.ACTIVE:
            await asyncio.sleep(0)
        await board.unplug()
        with pytest.raises(OutcomeUnknown):
            await running
    [link] = read_trace(path)
    assert link.events[-1]["event"] == "lost"
    assert board.port in link.events[-1]["reason"]


async def test_a_port_that_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    with pytest.raises(DeviceNotFound):
        await DeviceSession("/dev/nosuch", trace=path).connect()
    assert events(path) == ["opened", "failed"]
    assert "/dev/nosuch" in read_trace(path)[0].events[-1]["reason"]


async def test_opening_that_is_cancelled_closes_the_file(tmp_path: Path) -> None:
    async def never(*_: object) -> TracedTransport:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    path = tmp_path / "trace"
    opening = asyncio.create_task(open_traced(never, "memory:x", Recorder(), LinkOptions(), str(path)))
    while not path.exists():
        await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert events(path) == ["opened", "failed"]
    assert path not in open_files()


async def test_lines_are_traced_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    _, board = memory_pair()
    recorder = Recorder()
    transport = await open_traced(open_transport, board.port, recorder, LinkOptions(), str(path))
    assert isinstance(transport, SupportsLines)
    transport.set_lines(dtr=False, rts=True)
    transport.abort()
    await recorder.lost
    assert next(event for event in read_trace(path)[0].events if event["event"] == "lines")["rts"] is True


async def test_lines_that_could_not_be_set_are_not_traced(
    tmp_path: Path, make_pty_board: Callable[..., object]
) -> None:
    path = tmp_path / "trace"
    board = make_pty_board()
    recorder = Recorder()
    transport = await open_traced(open_transport, board.port, recorder, LinkOptions(), str(path))  # type: ignore[attr-defined]  # a PtyBoard
    assert isinstance(transport, SupportsLines)
    with pytest.raises(BelayError):  # a pseudo-terminal has none
        transport.set_lines(dtr=True)
    transport.abort()
    await recorder.lost
    assert events(path) == ["opened", "closed"]


async def test_no_lines_are_promised_where_there_are_none(tmp_path: Path) -> None:
    recorder = Recorder()
    transport = await open_traced(open_transport, "virtual:", recorder, LinkOptions(), str(tmp_path / "trace"))
    assert not isinstance(transport, SupportsLines)
    transport.abort()
    await recorder.lost


@pytest.mark.parametrize(
    ("path", "reason"), [("/nosuch/trace", "No such file"), ("/tmp", "directory"), ("a\0b", "null byte")]
)
async def test_a_bad_path_is_said_when_connecting(path: str, reason: str) -> None:
    session = DeviceSession("virtual:", trace=path)
    with pytest.raises(SettingsError, match=f"cannot write the trace to .*{reason}.*name a file"):
        await session.connect()
    assert session.state is DeviceSessionState.ERROR
    await session.close()


async def test_a_fifo_that_nobody_reads_does_not_hang(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SettingsError, match="cannot write the trace"):
        await DeviceSession("virtual:", trace=fifo).connect()


@pytest.mark.parametrize("path", ["", 3, b"bytes"])
def test_what_is_no_path_is_refused_at_once(path: object) -> None:
    with pytest.raises(SettingsError, match="must be the path of a file"):
        DeviceSession("virtual:", trace=path)


async def test_a_full_disk_ends_the_trace_and_not_the_session(port: str, caplog: pytest.LogCaptureFixture) -> None:
    async with DeviceSession(port, trace="/dev/full") as session:
        assert (await session.execute("print(1)")).output == "1\n"
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "the trace in /dev/full ends here (No space left on device); the session goes on" in warning.getMessage()
    assert warning.__dict__["session"] == session.session_id


def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    code = (
        "import sys\nfrom belay_py.sync import DeviceSession\n"
        "session = DeviceSession('virtual:', trace=sys.argv[1])\nsession.connect()\n"
        "print(session.execute('print(6*7)').output, flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"42\n"
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    [link] = read_trace(path)
    assert b"42\r\n" in link.sent_by("board")
    assert events(path) == ["opened"]


async def test_a_line_that_was_cut_short_is_left_out(port: str, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    async with DeviceSession(port, trace=path):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    async with DeviceSession(port, trace=path):
        pass
    assert events(path) == ["opened", "opened", "closed"]


async def test_it_may_be_cut_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    _, board = memory_pair()
    for _ in range(2):
        recorder = Recorder()
        transport = await open_traced(open_transport, board.port, recorder, LinkOptions(), str(path))
        transport.write(b'print({}, "{}", \'\\\\"}\')}')
        transport.abort()
        await recorder.lost
    whole = path.read_bytes()
    sent = read_trace(path)[0].sent_by("host")
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        links = read_trace(path)
        assert len(links) <= 2
        assert all(link.sent_by("host") in {b"", sent} for link in links)
        path.write_bytes(whole[:cut] + b"\n" + whole)  # a later session begins a line of its own
        assert [link.sent_by("host") for link in read_trace(path)][-2:] == [sent, sent]


async def test_links_that_share_a_word_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trace"
    monkeypatch.setattr("belay_py.transports.tracing.secrets.token_hex", lambda count: "5f" * count)
    for data in (b"first", b"second"):
        _, board = memory_pair()
        recorder = Recorder()
        transport = await open_traced(open_transport, board.port, recorder, LinkOptions(), str(path))
        transport.write(data)
        transport.abort()
        await recorder.lost
    assert [link.sent_by("host") for link in read_trace(path)] == [b"first", b"second"]
    assert {len(str(entry["link"])) for entry in entries(path)} == {16}, "64 bits: nobody has to count on it"


async def test_a_link_that_is_lost_before_its_opener_returns(tmp_path: Path) -> None:
    _, board = memory_pair()

    async def opener(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
        transport = await open_transport(board.port, receiver, options)
        board.lose(OSError(5, "Input/output error"))
        while board.connected:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return transport

    register("lost-early", opener)
    for trace in (None, tmp_path / "trace"):
        with pytest.raises(ConnectionFailed, match="was lost during the handshake"):
            await DeviceSession("lost-early:", trace=trace).connect()
    assert events(tmp_path / "trace") == ["opened", "lost"]


@pytest.mark.parametrize(
    "content", ['{"no": "trace"}', '{"t": 0, "link": "x", "event": "closed"}', "[}", '{"link": "x", "t": 0}', "3}"]
)
def test_what_is_no_trace_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trace"
    path.write_text(content + "\n")
    with pytest.raises(SettingsError, match="line 1 of"):
        read_trace(path)
    with pytest.raises(SettingsError, match="cannot read the trace"):
        read_trace(tmp_path / "nosuch")


def test_who_does_not_trace_pays_nothing() -> None:
    code = (
        "import asyncio, sys\nfrom belay_py import DeviceSession\n"
        "async def main():\n async with DeviceSession('virtual:') as s: print(type(s._standing.channel._transport))\n"
        "asyncio.run(main())\nprint('belay_py.transports.tracing' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "asyncio" in done.stdout
    assert done.stdout.endswith("False\n")


async def test_a_session_of_an_ended_loop_gives_everything_back(
    tmp_path: Path, make_pty_board: Callable[..., object]
) -> None:
    board = make_pty_board()
    code = (
        "import asyncio, gc, os, sys\nfrom pathlib import Path\nfrom belay_py import DeviceSession\n"
        "def left(): return {str(p.readlink()) for p in Path('/proc/self/fd').iterdir() if p.is_symlink()}\n"
        "session = DeviceSession(sys.argv[1], trace=sys.argv[2])\n"
        "asyncio.run(session.connect())\nprint(left() >= set(sys.argv[1:]))\n"
        "asyncio.run(session.close())\nprint(sys.argv[1] in left())\n"
        "del session\ngc.collect()\nprint(sys.argv[2] in left())"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", code, board.port, tmp_path / "trace"],  # type: ignore[attr-defined]  # a PtyBoard
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nFalse\nFalse\n", "")
