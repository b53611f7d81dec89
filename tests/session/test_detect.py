"""What `detect` says of real ports: MicroPython, other programs, silence, and ports that do not open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from typing import TYPE_CHECKING, Any

import pytest

import belay_py.sync
from belay_py import (
    BelayError,
    ConnectionFailed,
    DeviceBusy,
    DeviceNotFound,
    DeviceSession,
    DeviceSessionOptions,
    SettingsError,
    detect,
)
from belay_py.devices.locks import take
from belay_py.transports import LinkOptions, open_transport
from tests.session.test_wrong_ports import SHORT, children
from tests.transports.conformance import PATIENCE, Recorder, descriptors
from tests.transports.links import FdPeer, Rfc2217Server
from tests.workers import join_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from belay_py import Detection
    from tests.conftest import PtyBoard

NMEA = "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47"


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    """No descriptor, process or thread."""
    before, families = descriptors(), children()
    yield
    join_workers()
    assert descriptors() <= before
    assert children() <= families


async def look(port: str, timeout: float = SHORT, **options: Any) -> Detection:
    """Detect, within a time that is bounded, and see that the port's lock is free again."""
    async with asyncio.timeout(PATIENCE):
        found = await detect(port, timeout=timeout, **options)
    assert "\n" not in found.description
    take(port).release()
    return found


async def hear(port: str, send: bytes, until: bytes) -> bytes:
    """Open a port, send, and return what came up to ``until``; the port is closed then, and nothing else is sent."""
    recorder = Recorder()
    transport = await open_transport(port, recorder, LinkOptions())
    transport.write(send)
    async with asyncio.timeout(PATIENCE):
        await recorder.until(lambda: until in recorder.data)
        transport.abort()
        await recorder.lost
    return bytes(recorder.data)


# ---- Boards ----


async def test_a_board_says_what_it_is_and_is_left_at_its_friendly_prompt_without_a_reset(port: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("kept = 6")
        info = session.info
    found = await detect(port, timeout=PATIENCE)
    assert (found.kind, found.heard) == ("micropython", b"")
    assert found.description == "MicroPython 1.29.0 on JS with Emscripten"
    assert found.info is not None
    assert (found.info.unique_id, found.info.capabilities) == (info.unique_id, info.capabilities)
    # At a raw prompt nothing would be echoed or run.
    assert b"\r\n42\r\n>>> " in await hear(port, b"kept * 7\r", b"42\r\n>>> ")


async def test_a_program_that_runs_is_interrupted(port: str) -> None:
    await hear(port, b"while True: pass\r\r", b"\n... \r\n")
    assert (await detect(port, timeout=PATIENCE)).kind == "micropython"
    assert b"\r\n42\r\n>>> " in await hear(port, b"6 * 7\r", b"42\r\n>>> ")


async def test_whole_options_in_place_of_a_port(port: str) -> None:
    assert (await detect(DeviceSessionOptions(port=port), timeout=PATIENCE)).kind == "micropython"


def test_the_blocking_twin(port: str) -> None:
    found = belay_py.sync.detect(port, timeout=PATIENCE)
    assert (found.kind, found.info is None) == ("micropython", False)
    with pytest.raises(DeviceNotFound):
        belay_py.sync.detect("/dev/nosuch")


async def test_a_board_behind_an_rfc_2217_server(make_pty_board: Callable[..., PtyBoard]) -> None:
    server = Rfc2217Server(make_pty_board().port)
    try:
        found = await look(f"rfc2217://127.0.0.1:{server.port}", PATIENCE)
    finally:
        await asyncio.to_thread(server.close)
    assert found.kind == "micropython"


async def test_a_program_that_does_not_hear_ctrl_c_is_something_else(
    make_pty_board: Callable[..., PtyBoard], tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(
        "import micropython, time\nmicropython.kbd_intr(-1)\nwhile True:\n print('not me')\n time.sleep_ms(20)\n"
    )
    port = make_pty_board(folder=str(tmp_path)).port
    await hear(port, b"", b"not me")  # it has started
    found = await look(port)
    assert (found.kind, found.info) == ("other", None)
    assert b"not me" in found.heard
    assert "a board whose program catches Ctrl-C" in found.description


# ---- What is no board ----


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("port", "words"),
    [
        (f"process+pty:yes '{NMEA}'", r"looks like a GPS receiver (NMEA sentences); it sent b'"),
        ("process+pty:cat", "sends back what it is sent"),
        ("loop://", "sends back what it is sent"),
        ("process+pty:sh -i", "looks like a shell's prompt"),
        ("process+pty:sh -c 'printf \"Debian 13\\n\\nbench login: \"; exec sleep 1000'", "looks like a login prompt"),
        ("process:sh -c 'echo waiting for download; exec sleep 1000'", "looks like a boot loader"),
        (r"""process:sh -c 'printf "\r\nERROR\r\n"; exec sleep 1000'""", "looks like a modem"),
        ("process:yes", "a board whose program catches Ctrl-C"),
        ("process:cat /dev/urandom", "garbage, as a wrong baudrate gives"),
        ("process:yes 'Schönen Tag, 你好你好你好'", "no MicroPython prompt: another device"),
        ("process+pty:yes '>>> '", "looks like a Python prompt"),
        ("process:yes 'raw REPL; CTRL-B to exit'", "looks like a Python prompt"),
    ],
)
async def test_something_else(port: str, words: str) -> None:
    found = await look(port)
    assert (found.kind, found.info) == ("other", None)
    assert words in found.description
    assert 0 < len(found.heard) <= 1024
    assert found.description.endswith(f"; it sent {found.heard[-40:]!r}")


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("port", ["process+pty:sleep 1000", "process:sleep 1000"])
async def test_silence(port: str) -> None:
    found = await look(port, baudrate=9600)
    assert (found.kind, found.info, found.heard) == ("silent", None, b"")
    assert found.description == "no answer within 0.7 s: nothing is there, or it hangs, or 9600 is not its baudrate"


async def test_lines_that_come_now_and_then_at_a_pseudo_terminal() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    peer = FdPeer(master)
    try:
        looking = asyncio.create_task(look(os.ttyname(slave)))
        await peer.receive(1)  # now somebody listens
        await peer.send(NMEA.encode()[:30])
        await peer.receive(1)
        await peer.send(NMEA.encode()[30:] + b"\r\n")
        found = await looking
    finally:
        peer.close()
        os.close(slave)
    assert (found.kind, found.heard) == ("other", f"{NMEA}\r\n".encode())
    assert "GPS" in found.description


async def test_something_else_behind_a_tcp_port() -> None:
    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writers.append(writer)
        writer.write(b"router login: ")

    writers: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        found = await look(f"socket://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for writer in writers:
            writer.close()
    assert (found.kind, found.heard) == ("other", b"router login: ")
    assert "login" in found.description


# ---- Ports that do not open ----


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(
    ("port", "error", "message"),
    [
        ("/dev/nosuch", DeviceNotFound, "there is no /dev/nosuch"),
        ("/dev/null", ConnectionFailed, "not a serial port"),
        ("process:true", ConnectionFailed, "process:true was lost during the handshake; .* has ended"),
        ("socket://127.0.0.1:1", ConnectionFailed, "is its server running"),
        ("virtaul:", ConnectionFailed, "did you mean virtual:"),
    ],
)
async def test_a_port_that_does_not_open(port: str, error: type[BelayError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        await detect(port, timeout=PATIENCE)
    assert type(caught.value) is error


async def test_a_port_that_is_in_use(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(DeviceBusy):
            await detect(port)
        assert await session.evaluate("6 * 7") == 42


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "5", None, True])
async def test_a_timeout_that_is_none(timeout: Any) -> None:
    with pytest.raises(SettingsError, match="timeout is .*; it must be a number of seconds above 0, and finite"):
        await detect("process:false", timeout=timeout)


async def test_options_that_there_are_not() -> None:
    with pytest.raises(SettingsError, match="did you mean 'baudrate'"):
        await detect("process:false", baudrat=9600)


# ---- Nothing is left ----


class CuttingLoop(asyncio.SelectorEventLoop):
    """A real loop that does something at one of its turns."""

    cut: Callable[[], object] | None = None
    turns_left = 0

    def _run_once(self) -> None:
        if self.cut is not None:
            if not self.turns_left:
                self.cut()
                self.cut = None
            self.turns_left -= 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own, and the only place where a turn can be counted


async def cut(path: str, turn: int) -> bool:
    """Detect, cancel it at a turn, and look whether anything is left; return whether it was over before."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CuttingLoop)
    task = asyncio.ensure_future(detect(path, timeout=PATIENCE))
    loop.turns_left, loop.cut = turn, task.cancel
    await asyncio.wait([task])
    was_over = loop.cut is not None
    loop.cut = None
    with contextlib.suppress(asyncio.CancelledError):
        assert (await task).kind == "micropython"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return was_over


@pytest.mark.skipif(os.name == "nt", reason="pseudo-terminals")
def test_cancelled_at_every_turn_on_a_real_board_no_descriptor_task_or_lock_is_left(pty_board: PtyBoard) -> None:
    before = descriptors()
    for turn in range(10_000):
        with asyncio.Runner(loop_factory=CuttingLoop) as runner:
            was_over = runner.run(cut(pty_board.port, turn))
        join_workers()
        assert descriptors() <= before
        take(pty_board.port).release()
        if was_over:
            break
    assert turn > 3
