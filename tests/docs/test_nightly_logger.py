"""examples/nightly_logger.py, unplugged, reset, killed and without room on the disk: what its files have then."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import signal
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from belay_py.testing import FaultyWire
from belay_py.virtual import VirtualBoard

from .blocks import ROOT, TIMEOUT, environment, run_python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LOGGER = ROOT / "examples" / "nightly_logger.py"

needs_ptys = pytest.mark.skipif(sys.platform == "win32", reason="ptys, and signals that are sent to a process")


class Sample(NamedTuple):
    at: str
    life: str
    number: int


class Logger:
    """One run of the program after the other, in one folder."""

    def __init__(self, folder: Path, port: str, **options: float) -> None:
        self.folder = folder
        settings = {"enable_auto_reconnect": "true", "reconnect_delay": 0.01, "operation_timeout": 10, **options}
        (folder / "belay.toml").write_text(
            f"quarantine_after = 0\n[devices.logger]\nport = '{port}'\n"
            + "".join(f"{name} = {value}\n" for name, value in settings.items())
        )
        self.process: asyncio.subprocess.Process
        self.said = ""

    @contextlib.asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[None]:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(LOGGER), "--every", "0.05", *arguments),
            cwd=self.folder,
            env=environment(self.folder),
            stderr=asyncio.subprocess.PIPE,
        )
        listening = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            await listening
        assert "Traceback" not in self.said, self.said

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said += line.decode()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the files or the standard error are to have."""
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.01)  # nobody tells when another process's file has grown

    async def while_away(self, wire: FaultyWire) -> None:
        """Have the board away for long, with samples before and after."""
        await self.until_more()
        await wire.cut()
        await self.until_said("logger: there is no ")
        await wire.replug()
        await self.until_said("it goes on")
        await self.until_more()

    async def until_more(self, count: int = 3) -> None:
        """Wait for so many more samples."""
        wanted = len(self.samples) + count
        await self.until(lambda: len(self.samples) >= wanted)

    async def until_said(self, text: str, times: int = 1) -> None:
        await self.until(lambda: self.said.count(text) == times)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        async with asyncio.timeout(TIMEOUT):
            return await self.process.wait()

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "log").glob("*"))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The whole lines; one may be on its way."""
        text = "".join(file.read_text() for file in self.files)
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    @property
    def samples(self) -> list[Sample]:
        return [Sample(one["at"], one["life"], one["number"]) for one in self.lines if "number" in one]

    @property
    def notes(self) -> list[str]:
        return [one["note"] for one in self.lines if "note" in one]

    def assert_none_lost(self) -> None:
        """All samples of one life are there, once, in order."""
        assert [one.number for one in self.samples] == list(range(1, len(self.samples) + 1))
        assert len({one.life for one in self.samples}) == 1


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[FaultyWire]:
    """The logger's port: a board that keeps its power, on a wire that can be pulled out."""
    async with VirtualBoard() as board, FaultyWire(board.port, link=tmp_path / "port") as wire:
        yield wire


@needs_ptys
async def test_unplugged_again_and_again(wire: FaultyWire, tmp_path: Path) -> None:
    logger = Logger(tmp_path, wire.port)
    async with logger.running():
        for number in (1, 2, 3):
            await logger.until_more()
            await wire.cut()
            await logger.until_said("disconnected, unexpected: ", times=number)
            await wire.replug()
        await logger.until_more()
        assert await logger.stop() == 128 + signal.SIGTERM
    logger.assert_none_lost()
    assert [note.partition(":")[0] for note in logger.notes] == [
        f"connected to {wire.port}",
        *["disconnected, unexpected", f"connected to {wire.port}"] * 3,
        "disconnected, shutdown",
    ]
    assert f"disconnected, unexpected: {wire.port} is gone: plug it in again and reconnect" in logger.notes


@needs_ptys
async def test_a_board_that_is_away_for_long(wire: FaultyWire, tmp_path: Path) -> None:
    logger = Logger(tmp_path, wire.port, operation_timeout=0.2, max_reconnect_attempts=1)
    async with logger.running():
        await logger.while_away(wire)
        assert await logger.stop(signal.SIGINT) == 0
    logger.assert_none_lost()


@needs_ptys
async def test_another_board_is_noted_once_however_often_it_is_looked_at(wire: FaultyWire, tmp_path: Path) -> None:
    logger = Logger(tmp_path, wire.port)
    async with logger.running(), VirtualBoard() as other:
        await logger.until_more()
        await wire.unplug()
        wire.board_port = other.port
        await wire.replug()
        await logger.until(lambda: "disconnected, identity changed" in logger.notes)
        once = wire.to_host.passed
        await logger.until(lambda: wire.to_host.passed > 4 * once)
        await logger.stop()
        await wire.unplug()
    assert [note.partition(":")[0] for note in logger.notes] == [
        f"connected to {wire.port}",
        "disconnected, unexpected",
        "disconnected, identity changed",
    ]


@needs_ptys
async def test_a_board_that_begins_anew(tmp_path: Path) -> None:
    async with VirtualBoard(keeps_power=True) as board, FaultyWire(board.port, link=tmp_path / "port") as wire:
        logger = Logger(tmp_path, wire.port)
        async with logger.running():
            await logger.until_more()
            await board.reset()
            await logger.until(lambda: len({one.life for one in logger.samples}) == 2)
            await logger.until_more()
            await logger.stop()
    lives = list(dict.fromkeys(one.life for one in logger.samples))
    for life in lives:
        numbers = [one.number for one in logger.samples if one.life == life]
        assert numbers == list(range(1, len(numbers) + 1))
    assert "the board has begun anew; what it had kept is lost" in logger.notes


@needs_ptys
async def test_killed_in_the_middle(wire: FaultyWire, tmp_path: Path) -> None:
    logger = Logger(tmp_path, wire.port)
    for _ in range(3):
        async with logger.running():
            await logger.until_more()
            await logger.stop(signal.SIGKILL)
        with logger.files[-1].open("a") as file:
            file.write('{"at": "2')  # a power cut leaves half a line
    async with logger.running():
        await logger.until_more()
        await logger.stop()
    logger.assert_none_lost()


@needs_ptys
async def test_no_room_on_the_disk(wire: FaultyWire, tmp_path: Path) -> None:
    import resource

    logger = Logger(tmp_path, wire.port)
    async with logger.running():
        await logger.until_more()
        _, most = resource.prlimit(logger.process.pid, resource.RLIMIT_FSIZE)
        room = logger.files[-1].stat().st_size + 200  # two lines and a half
        resource.prlimit(logger.process.pid, resource.RLIMIT_FSIZE, (room, most))
        await logger.until_said("the log cannot be written: [Errno 27] File too large")
        full = len(logger.samples)
        resource.prlimit(logger.process.pid, resource.RLIMIT_FSIZE, (most, most))
        await logger.until_said("it goes on")
        assert len(logger.samples) > full
        await logger.until_more()
        await logger.stop()
    logger.assert_none_lost()
    assert logger.files[-1].read_text().endswith("}\n")


@needs_ptys
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "/dev/ttyNONE"), "logger: there is no /dev/ttyNONE"),
        ((), "logger: the session 'logger' needs a port"),
        (("--port", "virtual:", "--folder", "file"), "logger: [Errno 17] File exists: 'file'"),
        (("--every", "0"), "--every must be from a millisecond to a day"),
    ],
)
def test_what_keeps_it_from_beginning(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run_python(LOGGER, tmp_path, *arguments)
    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_its_help_names_the_options(tmp_path: Path) -> None:
    done = run_python(LOGGER, tmp_path, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--port", "--folder", "--every", "--adc"))


def test_a_new_file_each_night(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("nightly_logger", LOGGER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    log = module.Log(tmp_path)
    night = [f"2026-11-{day}T{time}+01:00" for day, time in (("21", "23:59:59.9"), ("22", "00:00:00.0"))]
    log.write([{"at": at, "life": "a", "number": number} for number, at in enumerate(night, start=7)])
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["2026-11-21.jsonl", "2026-11-22.jsonl"]
    log.write([{"at": "2026-11-23T00:00:00.0+01:00", "note": "nothing measured yet"}])
    again = module.Log(tmp_path)
    assert (log.life, log.number) == (again.life, again.number) == ("a", 8)
