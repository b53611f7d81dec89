"""Programs as ports: starting, ending, and what is told of their end."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession
from belay_py.errors import ConnectionFailed, Disconnected
from belay_py.transports import LinkOptions, open_transport
from belay_py.transports.base import close_orphan
from tests.transports.conformance import PATIENCE, Recorder, descriptors
from tests.workers import join_workers

if TYPE_CHECKING:
    from belay_py.transports import Transport


def is_alive(pid: int) -> bool:
    """Whether there is such a process; a zombie counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie that waits for somebody else."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False


async def _open(port: str) -> tuple[Transport, Recorder]:
    recorder = Recorder()
    return await open_transport(port, recorder, LinkOptions()), recorder


async def _pid(recorder: Recorder) -> int:
    """What the child prints first."""
    await recorder.until(lambda: b"\n" in recorder.data)
    return int(recorder.data.split()[0])


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo first >&2; printf 'the \\033last line\\n' >&2; exit 3", r"has ended with status 3 \(the last line\): "),
        ("exec >&-; echo late >&2; exit 5", r"has ended with status 5 \(late\): "),
        ("exit 0", r"has ended with status 0: see to that"),
        ("kill -9 $$", r"was ended by SIGKILL: "),
        ("exec >&-; read never", r"has closed its standard input or output: "),
        # What the child has started holds its output open.
        ("sleep 1000 & echo $!; exit 4", r"has ended with status 4: "),
    ],
)
async def test_the_end_of_a_child_is_told_with_its_status(command: str, told: str) -> None:
    before = descriptors()
    async with asyncio.timeout(PATIENCE):
        _, recorder = await _open(f"process:sh -c {shlex.quote(command)}")
        lost = await recorder.lost
    if recorder.data:
        os.kill(await _pid(recorder), 9)
    with pytest.raises(Disconnected, match=told) as caught:
        raise lost or AssertionError
    assert "\n" not in str(caught.value)
    assert descriptors() == before


async def test_all_that_was_printed_before_the_end_arrives() -> None:
    async with asyncio.timeout(PATIENCE):
        _, recorder = await _open("process:sh -c 'head -c 200000 /dev/zero; echo done'")
        assert isinstance(await recorder.lost, Disconnected)
    assert len(recorder.data) == 200_005


@pytest.mark.parametrize("scheme", ["process", "process+pty"])
@pytest.mark.parametrize("first", ["", "trap '' TERM HUP;"], ids=["obedient", "stubborn"])
async def test_closing_ends_the_child_and_what_it_has_started(scheme: str, first: str) -> None:
    before = descriptors()
    async with asyncio.timeout(PATIENCE):
        script = f"{first} sleep 1000 & echo $$ $!; wait; wait; sleep 1000"
        transport, recorder = await _open(f"{scheme}:sh -c {shlex.quote(script)}")
        pid = await _pid(recorder)
        transport.abort()
        assert await recorder.lost is None
    assert not is_alive(pid)
    started = int(recorder.data.split()[1])
    async with asyncio.timeout(PATIENCE):
        while is_running(started):
            await asyncio.sleep(0)
    assert descriptors() == before


async def test_closing_ends_what_ignores_the_request_that_its_leader_obeys() -> None:
    async with asyncio.timeout(PATIENCE):
        inner = (
            "import os, signal, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), flush=True)\ntime.sleep(1000)"
        )
        script = f"{shlex.join([sys.executable, '-S', '-E', '-c', inner])} & wait"
        transport, recorder = await _open(f"process:sh -c {shlex.quote(script)}")
        stubborn = await _pid(recorder)
        transport.abort()
        assert await recorder.lost is None
        while is_running(stubborn):
            await asyncio.sleep(0)


async def test_the_end_is_told_while_something_that_the_child_has_started_prints_on() -> None:
    async with asyncio.timeout(PATIENCE):
        _, recorder = await _open("process:sh -c 'while :; do echo x; sleep 0.01; done & echo $!; exit 4'")
        lost = await recorder.lost
    os.kill(next(int(word) for word in recorder.data.split() if word != b"x"), 9)
    with pytest.raises(Disconnected, match="has ended with status 4"):
        raise lost or AssertionError


_LEAVING = """
import asyncio
from belay_py.transports import LinkOptions, open_transport
async def leave():
    recorder = asyncio.Protocol()
    transport = await open_transport("process:sleep 1000", recorder, LinkOptions())
    print(transport._device.pid, flush=True)
    return transport
kept = asyncio.run(leave())
"""


def test_a_child_does_not_outlive_this_program() -> None:
    done = subprocess.run([sys.executable, "-c", _LEAVING], capture_output=True, check=True, timeout=PATIENCE)
    assert not is_running(int(done.stdout))


async def test_the_loop_goes_on_while_a_stubborn_child_is_ended() -> None:
    async with asyncio.timeout(PATIENCE):
        transport, recorder = await _open("process:sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done'")
        await _pid(recorder)
        transport.abort()
        turns = 0
        while not recorder.lost.done():
            await asyncio.sleep(0)
            turns += 1
    assert turns > 100


async def test_a_terminal_is_the_childs_own() -> None:
    check = "import os, sys; print([os.isatty(fd) for fd in (0, 1, 2)], os.open('/dev/tty', os.O_RDWR) > 2)"
    async with asyncio.timeout(PATIENCE):
        _, recorder = await _open(f"process+pty:{shlex.join([sys.executable, '-c', check])}")
        await recorder.lost
    assert recorder.data == b"[True, True, True] True\n"


@pytest.mark.parametrize("scheme", ["process", "process+pty"])
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no-such-command-at-all x", "there is no command 'no-such-command-at-all'.*install it"),
        ("'unfinished", "is quoted in a wrong way.*No closing quotation"),
        ("  ", "names no command: write process:COMMAND"),
        ("''", "names no command: write process:COMMAND"),
        ("a\0b", "cannot start|there is no command"),
    ],
)
async def test_what_cannot_be_started_is_told(scheme: str, command: str, told: str) -> None:
    before = descriptors()
    with pytest.raises(ConnectionFailed, match=told) as caught:
        await _open(f"{scheme}:{command}")
    assert "\n" not in str(caught.value)
    assert descriptors() == before


async def test_a_file_that_is_no_program_is_told(tmp_path: Path) -> None:
    for mode, told in ((0o644, "Permission denied"), (0o755, "Exec format error")):
        file = tmp_path / f"file-{mode}"
        file.write_bytes(b"\0\1\2")
        file.chmod(mode)
        with pytest.raises(ConnectionFailed, match=told):
            await _open(f"process:{file}")


async def test_a_cancelled_opening_leaves_no_child(tmp_path: Path) -> None:
    before = descriptors()
    marks = tmp_path / "pids"
    command = shlex.join(["sh", "-c", f"echo $$ >> {marks}; read never"])
    for turns in range(8):
        recorder = Recorder()
        opening = asyncio.ensure_future(open_transport(f"process:{command}", recorder, LinkOptions()))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        async with asyncio.timeout(PATIENCE):
            try:
                transport = await opening
            except asyncio.CancelledError:
                if recorder.calls:
                    await recorder.lost
            else:
                transport.abort()
                await recorder.lost
            await asyncio.to_thread(join_workers)
    for line in marks.read_text().split() if marks.exists() else ():
        assert not is_alive(int(line))
    assert descriptors() == before


def test_a_child_does_not_outlive_a_loop_that_was_closed() -> None:
    found: list[Transport] = []

    async def leave() -> int:
        transport, recorder = await _open("process:sh -c 'echo $$; read never'")
        found.append(transport)
        return await _pid(recorder)

    pid = asyncio.run(leave())
    close_orphan(found[0])
    join_workers()
    assert not is_alive(pid)


async def test_a_process_has_no_lines(caplog: pytest.LogCaptureFixture) -> None:
    async with asyncio.timeout(PATIENCE):
        transport, recorder = await _open("process:cat")
        transport.set_lines(dtr=True)  # type: ignore[attr-defined]  # those with threads have it
        transport.write(b"x")
        assert await recorder.receive(1) == b"x"
        transport.abort()
        await recorder.lost
    assert "process:cat did not set its lines: a process has no DTR" in caplog.text


@pytest.mark.parametrize("scheme", ["process", "process+pty"])
async def test_a_real_board_behind_a_process(scheme: str) -> None:
    pytest.importorskip("wasmtime")
    command = shlex.join([sys.executable, "-m", "belay_py", "virtual", "--stdio"])
    async with DeviceSession(f"{scheme}:{command}") as session:
        assert session.info.implementation == "micropython"
        every = bytes(range(256))
        result = await session.execute("import sys\nsys.stdout.buffer.write(bytes(range(256)))")
        assert result.output_bytes == every
        assert (await session.execute("print(len('''" + "x" * 5000 + "'''))")).output == "5000\n"


_ENDS_WHILE_A_CHILD_STARTS = """
import asyncio, threading
from belay_py.transports import LinkOptions, open_transport, process

child_of, forked = process._child, threading.Event()

def slowly(port, started, terminal=None):
    print(started.pid, flush=True)
    forked.set()
    threading.main_thread().join()  # the program has come to its end
    return child_of(port, started, terminal)

process._child = slowly

async def main():
    opening = asyncio.ensure_future(open_transport("process:sleep 1000", asyncio.Protocol(), LinkOptions()))
    await asyncio.to_thread(forked.wait)
    opening.cancel()

asyncio.run(main())
"""


async def test_a_child_that_was_just_being_started_ends_with_the_program() -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ENDS_WHILE_A_CHILD_STARTS, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        output, _ = await program.communicate()
        assert program.returncode == 0
        while is_running(int(output)):
            await asyncio.sleep(0)
