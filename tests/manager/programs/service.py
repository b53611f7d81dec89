"""A service with four boards that ends as its first argument says. Its log goes to standard error."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time

from belay_py import DeviceSessionManager

HANGS = "while True: pass"


def say(what: str) -> None:
    sys.stderr.write(f"{what}\n")


async def begin(ports: list[str]) -> DeviceSessionManager:
    manager = DeviceSessionManager()
    for number, port in enumerate(ports):
        await manager.create_session(f"board{number}", port)
    manager.add_cleanup("lamp", lambda: say("the lamp is off"))
    return manager


async def use(manager: DeviceSessionManager, key: str) -> None:
    while True:
        async with manager.lease(key) as session:
            await session.execute("print(1)")


async def hang(manager: DeviceSessionManager, key: str) -> None:
    async with manager.lease(key) as session:
        await session.execute(HANGS, timeout=1000)


async def say_when_draining(manager: DeviceSessionManager) -> None:
    while manager.state == "open":
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # a second signal that comes at once would be taken for the first one's echo
    say("still draining")


async def serve(ports: list[str], *, hanging: bool) -> None:
    manager = await begin(ports)
    async with manager, manager.handle_signals(grace=60), asyncio.TaskGroup() as group:
        if hanging:
            group.create_task(hang(manager, "board0"))
            group.create_task(say_when_draining(manager))
            session = manager["board0"]
            while session.state.name != "ACTIVE":
                await asyncio.sleep(0)
        else:
            for key in manager.ids():
                group.create_task(use(manager, key))
        say("ready")


async def wait_for_nothing(ports: list[str]) -> None:
    """Handlers without a block; a signal ends what the program does, which knows nothing of it."""
    manager = await begin(ports)
    manager.handle_signals()
    try:
        say("ready")
        await asyncio.Event().wait()
    finally:
        say(f"finally {manager.state}")


async def fail(ports: list[str]) -> None:
    manager = await begin(ports)
    running = asyncio.create_task(hang(manager, "board0"))
    await asyncio.sleep(0.1)
    assert not running.done()
    say("ready")
    raise RuntimeError("the program is broken")


async def forget(ports: list[str]) -> DeviceSessionManager:
    manager = await begin(ports)
    say("ready")
    return manager


def keep_loop(ports: list[str], *, closed: bool) -> None:
    loop = asyncio.new_event_loop()
    kept = loop.run_until_complete(forget(ports))
    if closed:
        loop.close()
    assert kept.state == "open"


def keep_thread(ports: list[str]) -> None:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    kept = asyncio.run_coroutine_threadsafe(forget(ports), loop).result()
    assert kept.state == "open"


def block(ports: list[str]) -> None:
    """The loop runs in another thread, and the main thread waits for something that no signal ends by itself."""
    from belay_py.manager.signals import DEFAULT_SIGNALS, BlockingSignalHandling

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    manager = asyncio.run_coroutine_threadsafe(begin(ports), loop).result()
    with BlockingSignalHandling(manager._shutdown, DEFAULT_SIGNALS, 5):
        say("ready")
        time.sleep(1000)


def main(how: str, *ports: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    boards = list(ports)
    match how:
        case "serve" | "hang":
            asyncio.run(serve(boards, hanging=how == "hang"))
        case "wait":
            asyncio.run(wait_for_nothing(boards))
        case "fail":
            asyncio.run(fail(boards))
        case "forget":
            asyncio.run(forget(boards))
        case "open loop" | "closed loop":
            keep_loop(boards, closed=how == "closed loop")
        case "thread":
            keep_thread(boards)
        case "block":
            block(boards)
        case _:
            raise SystemExit(f"no such way: {how}")


if __name__ == "__main__":
    main(*sys.argv[1:])
