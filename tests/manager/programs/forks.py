"""A program with boards that forks: its children find out what they may do, and the parent's boards go on."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from belay_py import BelayError, DeviceSession, DeviceSessionManager

if TYPE_CHECKING:
    from collections.abc import Callable

# Python 3.12 and later warn of forks beside threads, which is what this is about; nothing but our words is to be seen.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")

OURS = "belongs to the process that made it"


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


def refused(what: str, call: Callable[[], Any]) -> bool:
    try:
        call()
    except BelayError as error:
        if OURS in str(error):
            return True
        say(f"{what}: {error!r}")
    else:
        say(f"{what}: was let through")
    return False


async def answer(call: Callable[[], Any]) -> Any:
    found = call()
    if hasattr(found, "__aenter__"):
        return await found.__aenter__()
    return await found


def run(call: Callable[[], Any]) -> None:
    asyncio.run(answer(call))


def try_all(manager: DeviceSessionManager, session: DeviceSession) -> bool:
    """In a child: whether every public method is refused, but for endings, which do nothing."""
    plain: dict[str, Callable[[], Any]] = {
        "get": lambda: manager.get("board0"),
        "[]": lambda: manager["board0"],
        "in": lambda: "board0" in manager,
        "len": lambda: len(manager),
        "iter": lambda: list(manager),
        "ids": manager.ids,
        "devices": manager.devices,
        "sessions_by_last_used": manager.sessions_by_last_used,
        "idle_sessions": manager.idle_sessions,
        "find": manager.find,
        "lease": lambda: manager.lease("board0"),
        "subscribe": lambda: manager.subscribe(print),
        "add_cleanup": lambda: manager.add_cleanup("x", print),
        "handle_signals": manager.handle_signals,
    }
    awaited: dict[str, Callable[[], Any]] = {
        "start": manager.start,
        "create_session": lambda: manager.create_session("new", "virtual:"),
        "ensure": lambda: manager.ensure("board0"),
        "remove": lambda: manager.remove("board0"),
        "async with": lambda: manager,
        "lease of before": lambda: before,
    }
    before = manager._pool and LEASES[0]
    fine = [refused(name, call) for name, call in plain.items()]
    fine += [refused(name, functools.partial(run, call)) for name, call in awaited.items()]
    asyncio.run(manager.close())
    fine.append(manager.state == "open")
    try:
        asyncio.run(answer(lambda: session.execute("print('from the child')", timeout=2)))
        fine.append(False)
    except BelayError:
        fine.append(True)
    repr(manager)
    return all(fine)


LEASES: list[Any] = []


def in_child(work: Callable[[], bool], *, leave: bool) -> int:
    """Fork, work, and return the child's status. ``leave`` ends it without exit hooks."""
    pid = os.fork()
    if pid == 0:
        status = 0 if work() else 1
        if leave:
            os._exit(status)
        sys.exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wakes_up(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a thread still reaches an event loop, which waits for nothing else."""
    loop.call_soon_threadsafe(str)
    return bool(loop._selector.select(10))  # type: ignore[attr-defined]  # what a thread waits for here is private


async def begin(ports: list[str]) -> DeviceSessionManager:
    manager = DeviceSessionManager()
    for number, port in enumerate((*ports, "virtual:")):
        await manager.create_session(f"board{number}", port)
    await manager.create_session("named", "virtual:forks")
    LEASES.append(manager.lease("board1"))
    return manager


async def use(manager: DeviceSessionManager) -> None:
    for session in manager:
        assert (await session.evaluate("6 * 7")) == 42


async def fork_while_code_runs(manager: DeviceSessionManager) -> None:
    code = "import time\nn = 0\nfor _ in range(20):\n    time.sleep(0.02)\n    n += 1\nprint(n)"
    running = [asyncio.create_task(session.execute(code)) for session in manager]
    while not all(session.state.name == "ACTIVE" for session in manager):
        await asyncio.sleep(0)
    child = multiprocessing.get_context("fork").Process(target=sys.exit, args=(0,))
    child.start()
    await asyncio.to_thread(child.join)
    assert child.exitcode == 0
    for result in await asyncio.gather(*running):
        assert result.output == "20\n", result


async def reconnect_beside_a_child(manager: DeviceSessionManager) -> None:
    """A child that lives on keeps no port taken that its parent closes."""
    lives, ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ends)
        os.read(lives, 1)
        os._exit(0)
    os.close(lives)
    async with manager.lease("named") as session:
        await session.disconnect()
        await session.connect()
        assert await session.evaluate("6 * 7") == 42
    os.close(ends)
    assert (await asyncio.to_thread(os.waitpid, pid, 0))[1] == 0


def main(_: str, *ports: str) -> None:
    loop = asyncio.new_event_loop()
    manager = loop.run_until_complete(begin(list(ports)))
    session = manager._pool.members["board0"].make_session()
    for leave in (True, False):
        status = in_child(lambda: try_all(manager, session), leave=leave)
        assert status == 0, status
        assert wakes_up(loop)
        loop.run_until_complete(use(manager))
    loop.run_until_complete(fork_while_code_runs(manager))
    loop.run_until_complete(use(manager))
    loop.run_until_complete(reconnect_beside_a_child(manager))
    loop.run_until_complete(manager.close())
    assert manager.state == "closed"
    loop.close()
    say("all is well")


if __name__ == "__main__":
    main(*sys.argv[1:])
