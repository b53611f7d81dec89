"""A process that has a board, or wants it: one of those that `tests.manager.takeover` starts. It speaks by lines."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from typing import Any

from belay_py import DeviceBusy, DeviceSession, DeviceSessionManager, SessionTimeout
from tests.manager import takeover

SOON = 60  # seconds for what hangs, not an expectation


def say(*words: object) -> None:
    """One line, which is out when this returns: the process may be killed at any moment."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def load(journal: str, port: str) -> None:
    """Lease and use a board as fast as it goes, and say when it has a lease and when not."""
    manager = DeviceSessionManager(journal=journal)
    await manager.create_session("left", port)
    chance = random.Random()
    say("ready")

    async def use() -> None:
        while True:
            lease = manager.lease("left", timeout=SOON)
            session = await lease.acquire()
            say("took", lease.lease_id, time.monotonic())
            try:
                if chance.random() < 0.5:
                    number = chance.randrange(10**9)
                    assert await session.evaluate(f"{number} + 1") == number + 1
                else:
                    await session.execute(takeover.RUNS, timeout=chance.uniform(0.01, 0.3))
            except SessionTimeout:
                pass
            finally:
                say("gives", lease.lease_id, time.monotonic())
                lease.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(use())


async def hold(journal: str, port: str) -> None:
    """Lease a board and let it run."""
    async with DeviceSessionManager(journal=journal) as manager:
        await manager.create_session("left", port)
        async with manager.lease("left") as session:
            await session.execute(takeover.PREPARES)
            say("ready")
            await session.execute(takeover.RUNS, timeout=1000)


async def succeed(journal: str, port: str) -> None:
    """Take over what a dead process has left, and tell about it."""
    manager = DeviceSessionManager(journal=journal)
    await manager.start()
    found = manager.found
    began = time.monotonic()
    session = await manager.create_session("left", port)
    took = time.monotonic() - began
    ticks = [await session.evaluate("ticks") for _ in range(2)]
    numbers = [random.randrange(10**9) for _ in range(20)]
    in_step = [await session.evaluate(f"{number} * 3") == number * 3 for number in numbers]
    told = {
        "found": [
            {
                "pid": left.process.pid,
                "sessions": [each.device_id for each in left.sessions],
                "leases": [each.lease_id for each in left.leases],
                "text": str(left),
            }
            for left in found
        ],
        "took": took,
        "attached": session.attached,
        "stopped": ticks[0] == ticks[1],
        "in step": all(in_step),
    }
    await manager.close()
    say(json.dumps(told))


async def serve(journal: str, port: str) -> None:
    """Use a board until somebody says so, and hand it over."""
    manager = DeviceSessionManager(journal=journal)
    session = await manager.create_session("left", port)
    await session.execute("kept = 'by the first'")
    lease = manager.lease("left")
    leased = await lease.acquire()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    handing_over = asyncio.create_task(manager.hand_over(grace=SOON))
    while manager.state == "open":
        await asyncio.sleep(0)
    say("draining")
    await asyncio.to_thread(sys.stdin.readline)
    await leased.execute("kept += ', at the end'")  # a lease that is held goes on until its end
    lease.release()
    await handing_over
    say("handed over")


async def follow(journal: str, port: str) -> None:
    """Begin while another process has the board, and go on with it."""
    prepared: list[bool | None] = []

    async def prepare(session: DeviceSession) -> None:
        prepared.append(session.attached)

    async with DeviceSessionManager(journal=journal) as manager:
        await manager.create_session("left", port, connect=False, on_connect=prepare)
        try:
            await manager.take_over(timeout=0)
        except DeviceBusy as error:
            say("busy", error.holder)
        await manager.take_over(timeout=SOON)
        async with manager.lease("left") as session:
            say(json.dumps([session.attached, prepared, await session.evaluate("kept"), len(manager.found)]))


async def fight(turns: str, port: str, me: str, seconds: str, exclusive: str) -> None:
    """Take turns with a board that others want too, each with a connection of its own; say how many there were."""
    end = time.monotonic() + float(seconds)
    chance = random.Random()
    done = busy = 0
    while done < int(turns) and time.monotonic() < end:
        session = DeviceSession(port, communication={"exclusive": exclusive == "exclusive"})
        try:
            await session.connect()
            await takeover.take_a_turn(session, me)
            done += 1
        except DeviceBusy:
            busy += 1
        finally:
            await session.close()
        await asyncio.sleep(chance.uniform(0, 0.004))  # else the one who lets go is always the next one too
    say(json.dumps({"turns": done, "busy": busy}))


if __name__ == "__main__":
    how: dict[str, Any] = {each.__name__: each for each in (load, hold, succeed, serve, follow, fight)}
    asyncio.run(how[sys.argv[1]](*sys.argv[2:]))
