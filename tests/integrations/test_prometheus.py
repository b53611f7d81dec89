"""What Prometheus gets: by its own parsers right, by its conventions named, in step with the manager's statistics."""

from __future__ import annotations

import asyncio
import re
import threading
import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from belay_py import (
    BelayError,
    DeviceBusy,
    DeviceSession,
    DeviceSessionManager,
    ExecutionError,
    SessionTimeout,
    SettingsError,
)
from belay_py.integrations.prometheus import REMEMBERED, BelayCollector, expose
from belay_py.manager import in_step
from belay_py.sync import DeviceSession as BlockingSession
from belay_py.sync import DeviceSessionManager as BlockingManager
from belay_py.testing import ScriptedBoard, VirtualClock

from .scraping import parsed, registry_of, scrape, value

LABELS = {"device", "outcome", "reason", "state", "le"}


async def test_a_scrape_says_what_the_statistics_say(port: str) -> None:
    async with DeviceSessionManager(max_sessions=4) as manager:
        await manager.create_session("pump", port)
        async with manager.lease("pump") as session:
            await session.execute("x = 1")
            for _ in range(2):
                with pytest.raises(ExecutionError):
                    await session.execute("1/0")
            found, now = scrape(manager), manager.statistics()
        assert value(found, "operations_total", device="pump", outcome="ok") == 1
        assert value(found, "operations_total", device="pump", outcome="ExecutionError") == 2
        assert value(found, "operation_duration_seconds_count", device="pump") == 3
        assert value(found, "operation_duration_seconds_sum", device="pump") == now.operation_time
        assert value(found, "operation_duration_seconds_bucket", device="pump", le="10.0") == 3
        assert (
            value(found, "leases_held") == value(found, "devices_in_use") == value(found, "leases_granted_total") == 1
        )
        assert value(found, "device_in_use", device="pump") == value(found, "device_connected", device="pump") == 1
        assert value(found, "sessions", state="idle") == value(found, "slots_taken") == 1
        assert (value(found, "slots_max"), value(found, "sessions_created_total")) == (4, 1)
        assert value(found, "device_sent_bytes_total", device="pump") == now.devices["pump"].done.bytes_sent
        await manager.remove("pump")
        found = scrape(manager)
        assert value(found, "disconnects_total", reason="requested") == 1
        assert value(found, "session_lifetime_seconds_count") == value(found, "sessions_disposed_total") == 1
        assert value(found, "operations_total", device="pump", outcome="ExecutionError") == 2  # counters do not fall
        assert ("belay_device_connected", (("device", "pump"),)) not in found
    assert scrape(manager)


async def test_names_and_labels_keep_to_the_conventions(port: str) -> None:
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("pump", port)
        await session.execute("pass")
        with pytest.raises(ExecutionError):
            await session.execute("1/0")
        families = list(BelayCollector(manager).collect())
        text = generate_latest(registry_of(manager)).decode()
    assert session.session_id not in text
    assert {label for family in families for sample in family.samples for label in sample.labels} <= LABELS
    for family in families:
        assert re.fullmatch(r"belay_[a-z_]+", family.name)
        assert family.documentation
        assert not re.search(r"(_ms|_milliseconds|_minutes|_kilobytes|_count|_sum|_bucket|_info)$", family.name)
        assert isinstance(family, CounterMetricFamily) == any(s.name.endswith("_total") for s in family.samples) or (
            not family.samples
        )
        assert not (isinstance(family, GaugeMetricFamily) and family.name.endswith("_total"))


def scraped_over_http(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


async def test_scrapes_over_http_during_load_are_each_of_one_moment() -> None:
    async with DeviceSessionManager() as manager:
        for name in ("left", "right"):
            await manager.create_session(name, "virtual:")
        server, thread = start_http_server(0, "127.0.0.1", registry_of(manager))
        scrapes: list[str] = []
        try:

            async def load(name: str) -> None:
                while len(scrapes) < 20:
                    async with manager.lease(name) as session:
                        await session.execute("pass")
                        with pytest.raises(ExecutionError):
                            await session.execute("1/0")

            async def scraping() -> None:
                while len(scrapes) < 20:
                    scrapes.append(await asyncio.to_thread(scraped_over_http, server.server_port))

            await asyncio.gather(load("left"), load("left"), load("right"), scraping(), scraping())
        finally:
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)
    for found in map(parsed, scrapes):
        over = value(found, "leases_released_total")
        assert value(found, "leases_granted_total") == over + value(found, "leases_held")
        for name in ("left", "right"):
            outcomes = [
                count
                for (metric, labels), count in found.items()
                if metric == "belay_operations_total" and ("device", name) in labels
            ]
            assert sum(outcomes) == value(found, "operation_duration_seconds_count", device=name)
    last = parsed(scrapes[-1])
    assert value(last, "operations_total", device="left", outcome="ExecutionError") > 1


def test_a_blocking_manager_is_scraped_from_any_thread(port: str) -> None:
    with BlockingManager() as manager:
        manager.create_session("pump", port).execute("pass")
        found = scrape(manager)
        assert value(found, "operations_total", device="pump", outcome="ok") == 1
    assert value(scrape(manager), "sessions_disposed_total") == 1


async def test_leases_that_come_to_nothing_are_counted() -> None:
    board = ScriptedBoard("wanted")
    async with DeviceSessionManager() as manager:
        await manager.create_session("pump", board.port)
        assert value(scrape(manager), "lease_failures_total", outcome="DeviceBusy") == 0
        async with manager.lease("pump"):
            with pytest.raises(DeviceBusy):
                await asyncio.create_task(manager.lease("pump", timeout=0).acquire())
            waiting = asyncio.create_task(manager.lease("pump").acquire())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        board.silent = True
        await manager.create_session("mute", board.port + "x", connect=False, connection_timeout=0.01)
        with pytest.raises(BelayError):
            await manager.lease("mute").acquire()
        found = scrape(manager)
    failures = {labels: count for (name, labels), count in found.items() if name == "belay_lease_failures_total"}
    assert sum(failures.values()) == 3
    assert failures[("outcome", "DeviceBusy"),] == failures[("outcome", "CancelledError"),] == 1


async def test_a_thousand_replacements_make_no_new_series() -> None:
    board = ScriptedBoard("replaced")
    ids = set()
    async with DeviceSessionManager() as manager:
        for number in range(1000):
            session = await manager.create_session("pump", board.port, replace=True, connect=number % 100 == 0)
            ids.add(session.session_id)
            if number == 100:
                before = scrape(manager).keys()
        assert scrape(manager).keys() == before
        assert value(scrape(manager), "sessions_disposed_total") == len(ids) - 1 == 999
        text = generate_latest(registry_of(manager)).decode()
    assert not any(session_id in text for session_id in ids)


def test_a_device_that_was_removed_disappears_and_its_last_counts_are_seen() -> None:
    VirtualClock.run(removing())


async def removing() -> None:
    boards = {name: ScriptedBoard(f"removed-{name}") for name in ("pump", "valve")}
    async with DeviceSessionManager() as manager:
        for name, board in boards.items():
            await (await manager.create_session(name, board.port)).execute("1")
        await manager.remove("pump")
        of_pump = {name for name, labels in scrape(manager) if ("device", "pump") in labels}
        assert "belay_operations_total" in of_pump
        assert "belay_device_connected" not in of_pump
        await asyncio.sleep(REMEMBERED)
        assert not any(("device", "pump") in labels for _, labels in scrape(manager))
        assert value(scrape(manager), "operations_total", device="valve", outcome="ok") == 1
        await (await manager.create_session("pump", boards["pump"].port)).execute("1")
        found = scrape(manager)
        assert value(found, "operations_total", device="pump", outcome="ok") == 2  # it goes on where it was
        assert value(found, "device_connected", device="pump") == 1


def test_a_manager_whose_event_loop_is_over_has_numbers() -> None:
    manager = DeviceSessionManager()
    board = ScriptedBoard("over")

    async def main() -> None:
        async with manager:
            await (await manager.create_session("pump", board.port)).execute("1")

    asyncio.run(main())
    assert value(scrape(manager), "operations_total", device="pump", outcome="ok") == 1
    assert value(scrape(manager), "sessions", state="disposed") == value(scrape(manager), "slots_taken") == 0


async def test_a_cleanup_takes_the_metrics_of_a_manager_out(registry: CollectorRegistry) -> None:
    for _ in range(2):
        async with DeviceSessionManager() as manager:
            manager.add_cleanup("metrics", expose(manager, registry=registry))
            assert generate_latest(registry)
        assert not generate_latest(registry)


@pytest.mark.parametrize("kind", [DeviceSession, BlockingSession])
def test_a_session_is_no_manager(kind: Any, registry: CollectorRegistry) -> None:
    with pytest.raises(SettingsError, match="must be a manager"):
        expose(kind("virtual:"), registry=registry)


def test_a_manager_that_was_never_used_has_numbers() -> None:
    assert value(scrape(DeviceSessionManager()), "sessions_created_total") == 0


async def test_a_loop_that_is_blocked_fails_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_step, "PATIENCE", 0.01)
    async with DeviceSessionManager() as manager:
        await manager.start()
        registry = registry_of(manager)
        raised: list[BaseException] = []

        def scraping() -> None:
            try:
                generate_latest(registry)
            except SessionTimeout as error:
                raised.append(error)

        thread = threading.Thread(target=scraping)
        thread.start()
        thread.join()  # on the loop's own thread: this is what blocks it
        assert "did not answer" in str(raised[0])


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_two_managers_in_a_registry_need_names(registry: CollectorRegistry) -> None:
    first, second = DeviceSessionManager(), DeviceSessionManager()
    take_out = expose(first, registry=registry)
    with pytest.raises(SettingsError, match=r"^the registry has metrics named belay_\.\.\. already; .* a namespace"):
        expose(second, registry=registry)
    expose(second, registry=registry, namespace="second")
    assert "\nsecond_sessions_created_total 0.0" in generate_latest(registry).decode()
    with pytest.raises(SettingsError, match="namespace"):
        expose(first, registry=registry, namespace="1 bad name\n")
    take_out()
    take_out()
    expose(first, registry=registry)
