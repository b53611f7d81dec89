"""What one execution costs, as a ratio to a bare loop of system calls that does the same exchange.

Run by hand, on a machine that does little else: ``python -m tests.benchmarks.exec [--rounds N] [--belay PYTHON]``.

Two boards, each behind a pseudo-terminal: one that answers at once (a C program, compiled when first needed with ``cc``
into the user's cache) and the virtual board. Three exchanges: ``pass``, code of 1 KB, and 10 KB of output. The floor
writes the request and reads to the end with ``os.write`` and ``os.read``, credits included, once with the bytes of
marked framing, which is the default, and once without, so that the cost of the framing bytes stands apart.

Peers: mpremote's `SerialTransport.exec` in this process, and belay's `Pyboard.exec` in a process of its own, since its
dependencies are many: ``--belay`` names the Python of an environment in which belay is installed.

Blocks of the ways are interleaved, so that what else the machine does falls on all alike. A ratio is the median, over
the rounds, of a way's time by the floor's time in the same round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tty
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSession
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.virtual import BoardProcess

from .compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW = 128
MARK = b"\n_q(b'abcd')"
CODES = {
    "pass": "pass",
    "1 KB of code": "x = 1  # a line of code\n" * 42 + "x = 1  # the end",
    "10 KB of output": "print('x' * 10240)",
}

BELAY = """
import sys, time
from belay.pyboard import Pyboard
board = Pyboard(sys.argv[1])
board.enter_raw_repl(soft_reset=False)
print("ready", flush=True)
for line in sys.stdin:
    count, code = eval(line)
    start = time.perf_counter()
    for _ in range(count):
        board.exec(code)
    print((time.perf_counter() - start) / count, flush=True)
board.close()
"""


class Floor:
    """The exchange by bare system calls, at a raw prompt."""

    def __init__(self, path: str, *, marked: bool) -> None:
        self._marked = marked
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)
        os.write(self._fd, b"\r\x03\x03\x01")
        self._until(b"raw REPL; CTRL-B to exit\r\n>")
        self.exchange("__import__('builtins')._q=__import__('sys').stdout.write", marked=False)

    def _until(self, end: bytes) -> None:
        seen = b""
        while not seen.endswith(end):
            seen += os.read(self._fd, 65536)

    def exchange(self, code: str, *, marked: bool) -> tuple[int, int]:
        """Do it once; return how many bytes went each way."""
        data = code.encode() + (MARK if marked else b"")
        fd, sent = self._fd, min(len(data), 2 * WINDOW)
        end = sent == len(data) and sent < 2 * WINDOW
        os.write(fd, b"\x05A\x01" + data[:sent] + (b"\x04" if end else b""))
        answer, seen = os.read(fd, 65536), 0
        while not end:
            # Two of these are the header's own.
            free = 2 * WINDOW + WINDOW * (answer.count(b"\x01") - 2) - sent
            if free > 0:
                piece = data[sent : sent + free]
                sent += len(piece)
                end = sent == len(data)
                os.write(fd, piece + (b"\x04" if end else b""))
            else:
                answer += os.read(fd, 65536)
        seen = len(answer)
        tail = answer
        while not tail.endswith(b"\x04\x04>"):
            chunk = os.read(fd, 65536)
            seen += len(chunk)
            tail = tail[-3:] + chunk
        return len(data) + 4, seen

    def block(self, code: str, count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            self.exchange(code, marked=self._marked)
        return (time.perf_counter() - start) / count

    def close(self) -> None:
        os.write(self._fd, b"\x02")
        os.close(self._fd)


class Ours:
    """`DeviceSession`, on a loop that runs while a block does."""

    def __init__(self, path: str) -> None:
        self._runner = asyncio.Runner()
        self._session = DeviceSession(path)
        self._runner.run(self._session.connect())

    def block(self, code: str, count: int) -> float:
        async def run() -> float:
            execute = self._session.execute
            start = time.perf_counter()
            for _ in range(count):
                await execute(code)
            return (time.perf_counter() - start) / count

        return self._runner.run(run())

    def close(self) -> None:
        self._runner.run(self._session.close())
        self._runner.close()


class OursBlocking:
    """`belay_py.sync.DeviceSession`."""

    def __init__(self, path: str) -> None:
        self._session = BlockingSession(path)
        self._session.connect()

    def block(self, code: str, count: int) -> float:
        execute = self._session.execute
        start = time.perf_counter()
        for _ in range(count):
            execute(code)
        return (time.perf_counter() - start) / count

    def close(self) -> None:
        self._session.close()


class Mpremote:
    """mpremote's `SerialTransport`, through a link: it treats a literal /dev/pts specially."""

    def __init__(self, path: str) -> None:
        from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]  # it has no types

        self._folder = tempfile.TemporaryDirectory()
        link = Path(self._folder.name, "tty")
        link.symlink_to(path)
        self._transport: Any = SerialTransport(str(link))
        self._transport.enter_raw_repl(soft_reset=False)

    def block(self, code: str, count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            self._transport.exec(code)
        return (time.perf_counter() - start) / count

    def close(self) -> None:
        self._transport.close()
        self._folder.cleanup()


class Belay:
    """belay's `Pyboard`, in its own environment."""

    python = ""

    def __init__(self, path: str) -> None:
        self._child = subprocess.Popen(
            [self.python, "-c", BELAY, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def _answer(self) -> str:
        assert self._child.stdout is not None
        answer = self._child.stdout.readline()
        if not answer:
            sys.exit("belay's process has ended; its words are above")
        return answer

    def block(self, code: str, count: int) -> float:
        assert self._child.stdin is not None
        self._child.stdin.write(repr((count, code)) + "\n")
        self._child.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()


@dataclass(frozen=True)
class Way:
    name: str
    make: Callable[[str], Any]
    share: int
    """Which part of a block's executions it does: slow ones need fewer."""


@contextmanager
def instant_board() -> Iterator[str]:
    master, slave = os.openpty()
    tty.setraw(slave)
    board = subprocess.Popen([compiled("instant_board"), str(master)], pass_fds=[master])
    os.close(master)
    yield os.ttyname(slave)
    board.kill()
    board.wait()
    os.close(slave)


@contextmanager
def virtual_board() -> Iterator[str]:
    board = BoardProcess(None)
    board.start()
    master, slave = os.openpty()
    tty.setraw(slave)
    board.attach(master)
    os.close(master)
    yield os.ttyname(slave)
    board.close()
    os.close(slave)


def measure(ways: list[Way], path: str, code: str, rounds: int, count: int) -> dict[str, list[float]]:
    """Seconds per execution, per way and round."""
    taken: dict[str, list[float]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            with ExitStack() as stack:
                runner = way.make(path)
                stack.callback(runner.close)
                took = runner.block(code, max(2, count // way.share))
                if number:  # the first round warms everything up
                    taken[way.name].append(took)
    return taken


def report(board: str, case: str, taken: dict[str, list[float]], sizes: str) -> None:
    sys.stdout.write(f"\n{board}, {case} ({sizes})\n")
    floor = taken["floor, marked"]
    for name, times in taken.items():
        ratio = statistics.median(time / least for time, least in zip(times, floor, strict=True))
        sys.stdout.write(f"  {name:20} {statistics.median(times) * 1e6:9.1f} us {ratio:8.2f} x floor\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of interleaved blocks (default 15)")
    parser.add_argument("--count", type=int, default=400, help="executions in a block of the fastest (default 400)")
    parser.add_argument("--belay", metavar="PYTHON", help="the Python of an environment that has belay")
    options = parser.parse_args()
    ways = [
        Way("floor, marked", lambda path: Floor(path, marked=True), 1),
        Way("floor, plain", lambda path: Floor(path, marked=False), 1),
        Way("belay_py", Ours, 1),
        Way("belay_py, blocking", OursBlocking, 1),
        Way("mpremote", Mpremote, 50),
    ]
    if options.belay:
        Belay.python = options.belay
        ways.append(Way("belay", Belay, 20))
    if hasattr(os, "getloadavg"):
        sys.stdout.write(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.2f}, {options.rounds} rounds\n")
    for name, board in (("a board that answers at once", instant_board), ("the virtual board", virtual_board)):
        with board() as path:
            for case, code in CODES.items():
                floor = Floor(path, marked=True)
                plain, marked = floor.exchange(code, marked=False), floor.exchange(code, marked=True)
                floor.close()
                sizes = f"{plain[0]} B there and {plain[1]} back; the marker adds {sum(marked) - sum(plain)}"
                report(name, case, measure(ways, path, code, options.rounds, options.count), sizes)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
