"""A service that runs for months: it reads thermometers in turn, says how its boards are, and ends in order.

    python examples/service_loop.py [--rounds N] [--every SECONDS]

Its three boards are virtual; put ports of real ones into SETTINGS, or leave them out and have them in belay.toml, which
`load_settings` reads. Ctrl-C or SIGTERM end it: leases end, the boards are stopped, and the cleanups run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import sys
from typing import Any

from belay_py import BelayError, DeviceSession, DeviceSessionManager, SessionClosed, events, load_settings

SETTINGS: dict[str, Any] = {
    "max_sessions": 8,
    "session": {"operation_timeout": "5s", "idle_timeout": "10m"},
    "devices": {
        "north": {"port": "virtual:", "tags": ["thermometer"]},
        "south": {"port": "virtual:", "tags": ["thermometer"]},
        "pump": {"port": "virtual:", "tags": ["actuator"], "pinned": True, "checkin": "soft_reset"},
    },
}

SENSOR = """
import machine
adc = machine.ADC(26)
def read():
    return adc.read_u16() * 3.3 / 65535 / 0.01
"""

log = logging.getLogger("service")


async def prepare(board: DeviceSession) -> None:
    """Give a board what this service needs; it is called after each connect, before anybody gets the board."""
    await board.execute(SENSOR)


async def read(manager: DeviceSessionManager) -> None:
    """Take one reading, from whichever thermometer is free."""
    try:
        async with manager.lease(tags={"thermometer"}, timeout=10) as board:
            log.info("%s reads %.1f C", board.device_id, await board.evaluate("read()"))
    except SessionClosed:
        raise  # the manager is closing, and so is the service
    except BelayError as error:  # one reading is missed, and the next one is tried
        log.warning("no reading: %s", error)


async def serve(manager: DeviceSessionManager, rounds: int, every: float) -> None:
    """Do the service's work; without ``rounds``, for ever."""
    for name in ("north", "south"):
        await manager.create_session(name, connect=False, on_connect=prepare)
    for name, error in (await manager.warm_up(*manager.devices())).items():
        log.warning("%s is not there: %s", name, error)
    for number in itertools.count(1):
        await asyncio.gather(read(manager), read(manager))
        async with manager.lease("pump", timeout=10) as pump:
            await pump.execute("speed = 3")
        health = await manager.health()
        why = f" ({'; '.join(health.reasons)})" if health.reasons else ""
        log.info("round %d: %s%s, %d boards idle", number, health.status, why, health.idle)
        if number == rounds:
            return
        await asyncio.sleep(every)


async def main(rounds: int = 0, every: float = 10.0) -> None:
    """Serve until a signal comes."""
    manager = DeviceSessionManager(load_settings(None, **SETTINGS))

    @manager.on(events.SessionConnected, events.SessionDisconnected, events.Quarantined, events.LeaseLeaked)
    def tell(event: events.SessionEvent) -> None:
        reason = f": {event.reason}" if isinstance(event, events.SessionDisconnected) else ""
        log.info("%s %s%s", event.session.device_id, type(event).__name__, reason)

    async with manager:
        manager.add_cleanup("supply", lambda: log.info("the supply is switched off"))
        async with manager.handle_signals(grace=5):
            await serve(manager, rounds, every)
    log.info("%d leases, ended in order", manager.statistics().leases_granted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="how many; 0: until a signal comes")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two rounds")
    chosen = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(chosen.rounds, chosen.every))
