"""A session on the micro:bit's MicroPython 1.9.2, in QEMU: no raw-paste, 10 KB of heap, no ``sys.stdout``.

Run by hand, after ``apt-get install qemu-system-arm firmware-microbit-micropython`` on Debian or one of its relatives:

    python -m tests.jobs.microbit [--rounds N] [--fetch]

It is no part of the gate, because QEMU's serial port loses a byte, or the emulator hangs, now and then. What fails for
that reason is tried again on a freshly connected, and if need be freshly started, board; how often is what the report
tells. The exit status is 1 when something failed three times, or gave a wrong value.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belay_py import (
    BelayError,
    CodeTooLarge,
    CommunicationOptions,
    DeviceSession,
    ExecutionError,
    Interrupted,
    SessionTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INSTALLED = Path("/usr/share/firmware-microbit-micropython/firmware.hex")  # where the package puts it
PACKAGE = "firmware-microbit-micropython"
SHA256 = "b76c8e56b4566d7bcb3607ffa5402639b106e4784a0711c45c3573d90d85e9d5"  # of version 1.0.1-4
TRIES = 3
# The UART of the emulator has no flow control at all, and the firmware's ring is small.
SLOWLY = CommunicationOptions(chunk=32, framing="plain")


def firmware(*, fetch: bool) -> Path:
    """The firmware of the installed package, or, on request, of the package unpacked into the user's cache."""
    cache = Path(os.environ.get("BELAY_CACHE_DIR") or Path.home() / ".cache" / "belay_py") / "firmware" / INSTALLED.name
    for path in (INSTALLED, cache):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
            return path
    if not fetch:
        sys.exit(f"no firmware with SHA-256 {SHA256}; run apt-get install {PACKAGE}, or add --fetch")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(package), folder], check=True)
        content = (Path(folder) / INSTALLED.relative_to("/")).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{PACKAGE} has another firmware than the one with SHA-256 {SHA256}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(content)
    return cache


class Emulator:
    """A micro:bit in QEMU, behind a pseudo-terminal."""

    def __init__(self, image: Path) -> None:
        self.process = subprocess.Popen(
            [
                *("qemu-system-arm", "-M", "microbit", "-device", f"loader,file={image}"),
                *("-display", "none", "-monitor", "none", "-serial", "pty"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if found := re.search(r"redirected to (\S+)", line):
                self.port = found[1]
                return
        sys.exit(f"qemu-system-arm did not start: {said.strip()}")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


async def executes(session: DeviceSession) -> object:
    return (await session.execute("for i in range(3): print(i)")).output


async def raises(session: DeviceSession) -> object:
    try:
        await session.execute("1/0")
    except ExecutionError as error:
        return error.type
    return None


async def evaluates(session: DeviceSession) -> object:
    return await session.evaluate("[1, 'two', b'3', (True, 2.5), {-4: None}]")


async def runs_long_code(session: DeviceSession) -> object:
    return (await session.execute("x = 1  # padding\n" * 120 + "print(x)")).output


async def refuses_code_that_would_crash_it(session: DeviceSession) -> object:
    try:
        await session.execute("#" * 20_000)
    except CodeTooLarge as error:
        return error.outcome
    return None


async def interrupts(session: DeviceSession) -> object:
    running = asyncio.create_task(session.execute("while True: pass"))
    await asyncio.sleep(0)
    stopped = await session.interrupt()
    try:
        await running
    except Interrupted:
        return stopped
    return None


async def stops_at_a_deadline(session: DeviceSession) -> object:
    try:
        await session.execute("while True: pass", timeout=0.3)
    except SessionTimeout as error:
        return error.recovered
    return None


async def soft_resets(session: DeviceSession) -> object:
    epoch = session.boot_epoch
    await session.execute("gone = 1")
    await session.soft_reset()
    return session.boot_epoch - epoch, (await session.execute("print('gone' in globals())")).output


EXPECTED: dict[Callable[[DeviceSession], Awaitable[object]], object] = {
    executes: "0\n1\n2\n",
    raises: "ZeroDivisionError",
    runs_long_code: "1\n",
    refuses_code_that_would_crash_it: "not_started",
    interrupts: True,
    stops_at_a_deadline: True,
    evaluates: [1, "two", b"3", (True, 2.5), {-4: None}],
    soft_resets: (1, "False\n"),
}


class Bench:
    """One board at a time, replaced when it hangs, and what was counted."""

    def __init__(self, image: Path) -> None:
        self._image = image
        self._emulator = Emulator(image)
        self._session = self._new_session()
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def _new_session(self) -> DeviceSession:
        return DeviceSession(
            self._emulator.port, connection_timeout=8, operation_timeout=8, recovery_timeout=3, communication=SLOWLY
        )

    async def connect(self) -> None:
        """Connect, on a new emulator if this one does not answer."""
        for _ in range(TRIES):
            try:
                await self._session.connect()
            except BelayError as error:
                self.reasons[type(error).__name__] += 1
                self.counts["emulators replaced"] += 1
                await self.close()
                self._emulator = Emulator(self._image)
                self._session = self._new_session()
            else:
                return
        sys.exit("no emulator answers")

    async def attempt(self, action: Callable[[DeviceSession], Awaitable[Any]]) -> object:
        """Do it, and again after a failure; the last failure is raised."""
        for left in reversed(range(TRIES)):
            await self.connect()
            try:
                return await action(self._session)
            except BelayError as error:
                self.reasons[type(error).__name__] += 1
                if not left:
                    raise
                self.counts["tried again"] += 1
        raise AssertionError("there is at least one try")

    async def close(self) -> None:
        await self._session.close()
        self._emulator.close()


async def run(rounds: int, image: Path) -> int:
    bench = Bench(image)
    wrong = 0
    done: Counter[str] = Counter()
    try:
        await bench.connect()
        with contextlib.suppress(KeyboardInterrupt):
            for _ in range(rounds):
                for action, expected in EXPECTED.items():
                    name = action.__name__.replace("_", " ")
                    try:
                        value = await bench.attempt(action)
                    except BelayError as error:
                        value = error
                    done[name] += value == expected
                    if value != expected:
                        wrong += 1
                        sys.stdout.write(f"{name}: {value!r} in place of {expected!r}\n")
                # A connection of its own for each round.
                await bench._session.disconnect()
    finally:
        await bench.close()
    for name, count in done.items():
        sys.stdout.write(f"{name:50} {count:5} of {rounds}\n")
    total = rounds * len(EXPECTED)
    for name in ("tried again", "emulators replaced"):
        sys.stdout.write(f"{name:50} {bench.counts[name]:5} in {total} actions\n")
    sys.stdout.write(f"{'reasons':50} {', '.join(f'{n} {r}' for r, n in bench.reasons.items()) or 'none'}\n")
    return 1 if wrong else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each action is done (default 20)")
    parser.add_argument("--fetch", action="store_true", help="unpack the firmware's package into the cache if missing")
    options = parser.parse_args()
    if shutil.which("qemu-system-arm") is None:
        sys.exit("qemu-system-arm is not installed; run apt-get install qemu-system-arm")
    sys.exit(asyncio.run(run(options.rounds, firmware(fetch=options.fetch))))


if __name__ == "__main__":
    main()
