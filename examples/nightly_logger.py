"""A data logger that survives unplugging, resets, kill -9 and full disks: lines of JSON, a new file each night.

    python examples/nightly_logger.py [--port PORT] [--every SECONDS] [--folder FOLDER] [--adc PIN]

The board samples by itself and keeps what it has sampled, each with a number; this program fetches what is not in the
log yet. So a lost link loses nothing while the board has power, and nothing is logged twice, not even after kill -9:
the log itself says what came last. The virtual board has no timer, and samples when it is asked.

Without ``--port`` it is the device ``logger`` of belay.toml, which may have any option. Ctrl-C or SIGTERM end it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import os
import secrets
import sys
from collections import deque
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from belay_py import BelayError, DeviceSession, DeviceSessionManager, SessionClosed, events, load_settings

BOARD = """
import machine, sys, time

def sample(_=None):
    global number
    number += 1
    samples.append((number, time.ticks_ms(), adc.read_u16()))
    del samples[:-600]  # as many as there is room for

def since(known_life, known):
    if timer is None:
        sample()
    now = time.ticks_ms()
    new = [one for one in tuple(samples) if life != known_life or one[0] > known]
    return life, [(n, time.ticks_diff(now, at), value) for n, at, value in new[:50]]

adc = machine.ADC({adc})
if "samples" not in globals():  # else it has gone on while nobody was here
    life, number, samples = "{life}", 0, []
    timer = machine.Timer(0 if sys.platform == "esp32" else -1) if hasattr(machine, "Timer") else None
if timer is not None:
    timer.init(period={period}, callback=sample)
"""

Entry: TypeAlias = dict[str, Any]
logger = logging.getLogger("logger")


class Log:
    """A folder with a file for each day. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.life, self.number = "", 0
        """Of the latest sample: the life of the board in which it was taken, and its number there."""
        for path in sorted(folder.glob("*.jsonl"), reverse=True):
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            os.truncate(path, len(whole))  # half a line is left when a program is killed
            samples = [line for line in whole.splitlines() if b'"number"' in line]
            if samples:
                latest = json.loads(samples[-1])
                self.life, self.number = latest["life"], latest["number"]
                break

    def write(self, entries: list[Entry]) -> None:
        """Append entries, each to the file of its day. What could not be written whole is not there at all."""
        for day, of_day in itertools.groupby(entries, key=lambda entry: entry["at"][:10]):
            batch = list(of_day)
            data = "".join(f"{json.dumps(entry)}\n" for entry in batch).encode()
            with (self.folder / f"{day}.jsonl").open("ab", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                try:
                    while data:
                        data = data[file.write(data) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(end)
                    raise
            for entry in batch:
                self.life, self.number = entry.get("life", self.life), entry.get("number", self.number)


def stamp(age: float = 0) -> str:
    """Give the local time of so many milliseconds ago."""
    return (datetime.now().astimezone() - timedelta(milliseconds=age)).isoformat(timespec="milliseconds")


async def fetch(board: DeviceSession, log: Log) -> list[Entry]:
    """Give the samples that are not in the log, after a note where some are missing."""
    code = f"since({log.life!r}, {log.number})"
    life, rows = await board.evaluate(code, returns=tuple[str, list[tuple[int, int, int]]])
    entries: list[Entry] = [{"at": stamp(age), "life": life, "number": n, "value": value} for n, age, value in rows]
    if rows and log.life not in {"", life}:
        entries.insert(0, {"at": entries[0]["at"], "note": "the board has begun anew; what it had kept is lost"})
    elif rows and (lost := rows[0][0] - log.number - 1):
        entries.insert(0, {"at": entries[0]["at"], "note": f"{lost} samples are lost: the board keeps 600"})
    return entries


async def follow(board: DeviceSession, log: Log, notes: deque[Entry], every: float) -> None:
    """Fetch and write for ever."""
    trouble = ""
    while True:
        entries, found = list[Entry](), ""
        try:
            entries = await fetch(board, log)
        except SessionClosed:
            raise  # the manager is closing, and so is this program
        except BelayError as error:
            found = str(error)
        try:
            log.write([*notes, *entries])
            notes.clear()
        except OSError as error:
            found = f"the log cannot be written: {error}; samples stay on the board as long as it has room"
        if found != trouble:
            logger.warning("%s", found or "it goes on")
            trouble = found
        await asyncio.sleep(every)


async def main(port: str | None, folder: Path, every: float, adc: int) -> None:
    """Log until a signal comes. Raises BelayError or OSError where it cannot begin."""
    log, notes = Log(folder), deque[Entry](maxlen=1000)
    manager = DeviceSessionManager(load_settings())

    latest = ""

    def note(text: str) -> None:
        nonlocal latest
        if text != latest:  # another board, or one that cannot be prepared, is connected again and again
            latest = text
            logger.info("%s", text)
            notes.append({"at": stamp(), "note": text})

    @manager.on(events.SessionDisconnected)
    def ended(event: events.SessionDisconnected) -> None:
        note(f"disconnected, {event.reason}" + (f": {event.error}" if event.error else ""))

    async def prepare(board: DeviceSession) -> None:
        await board.execute(BOARD.format(adc=adc, period=round(every * 1000), life=secrets.token_hex(4)))
        note(f"connected to {board.port}")

    try:
        async with manager, manager.handle_signals():
            await follow(
                await manager.create_session("logger", port, pinned=True, on_connect=prepare), log, notes, every
            )
    finally:
        with contextlib.suppress(OSError):  # it was told already
            log.write([*notes])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Log an analogue pin, whatever happens.")
    parser.add_argument("--port", help="instead of the device 'logger' of belay.toml")
    parser.add_argument("--folder", type=Path, default=Path("log"), help="for the files, one a day (log)")
    parser.add_argument("--every", type=float, default=10.0, metavar="SECONDS", help="between two samples (10)")
    parser.add_argument("--adc", type=int, default=26, metavar="PIN", help="the analogue pin (26)")
    chosen = parser.parse_args()
    if not 0.001 <= chosen.every <= 86400:
        parser.error("--every must be from a millisecond to a day")
    logging.basicConfig(format="%(name)s: %(message)s")
    logger.setLevel(logging.INFO)
    try:
        asyncio.run(main(**vars(chosen)))
    except KeyboardInterrupt:
        pass
    except (BelayError, OSError) as error:
        sys.exit(f"logger: {error}")
