"""A collector for prometheus_client that reads a manager's statistics when it is scraped. It needs the extra
``prometheus``.

Between two scrapes it costs nothing. Labels are devices' names, and words of which there are few: outcomes, reasons,
states. No name of a session is a label, since there is a new one with each session.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, Final, Protocol

from belay_py.errors import NotSupported, SettingsError
from belay_py.lifecycle import DeviceSessionState

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
except ImportError as error:
    raise NotSupported('prometheus_client is not installed here; run: pip install "belay_py[prometheus]"') from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

    from belay_py.manager.statistics import DeviceStatistics, ManagerStatistics


REMEMBERED: Final = 600.0
"""Seconds that the counters of a device are shown after it was removed: the next scrape is to see its last ones."""


class HasStatistics(Protocol):
    """A `DeviceSessionManager`, asynchronous or blocking."""

    def statistics(self) -> ManagerStatistics:
        """See `DeviceSessionManager.statistics`."""


_COUNTERS: Mapping[str, tuple[str, Callable[[ManagerStatistics], float]]] = {
    "sessions_created": ("Sessions that were made", lambda now: now.sessions_created),
    "sessions_disposed": ("Sessions that are over for good", lambda now: now.sessions_disposed),
    "connects": ("Connections to boards", lambda now: now.connects),
    "reconnects": ("Connections that the manager made by itself after a loss", lambda now: now.reconnects),
    "reconnect_failures": ("How often the last attempt to connect again failed", lambda now: now.reconnect_failures),
    "quarantines": ("How often a board was left alone for its losses", lambda now: now.quarantines),
    "leases_granted": ("Leases that somebody got", lambda now: now.leases_granted),
    "leases_released": ("Leases that came back", lambda now: now.leases_released),
    "leases_leaked": ("Leases that were held for longer than leak_after", lambda now: now.leases_leaked),
    "calls": ("Uses of a board outside of leases", lambda now: now.calls),
    "evictions": ("Sessions disconnected to make room for others", lambda now: now.evictions),
    "heartbeats": ("Heartbeats sent", lambda now: now.heartbeats),
    "health_checks": ("Health checks made", lambda now: now.health_checks),
    "failed_checks": ("Heartbeats and health checks that failed", lambda now: now.failed_checks),
    "cleanup_runs": ("Cleanups made", lambda now: now.cleanup_runs),
    "sessions_cleaned": ("Sessions and devices that cleanups closed or dropped", lambda now: now.cleaned_up),
}
_GAUGES: Mapping[str, tuple[str, Callable[[ManagerStatistics], float]]] = {
    "sessions_connected": ("Sessions whose board is connected", lambda now: now.connected),
    "slots_taken": ("Boards that are connected, or that somebody has", lambda now: now.slots),
    "slots_max": ("The option max_sessions", lambda now: now.max_sessions),
    "devices_in_use": ("Boards that a lease or a call has", lambda now: now.in_use),
    "devices_quarantined": ("Boards that are left alone for a while", lambda now: now.quarantined),
    "waiting": ("How many wait for a board", lambda now: now.waiting),
    "leases_held": ("Leases that are held", lambda now: now.leases_held),
    "leases_overdue": ("Leases that are held for longer than leak_after", lambda now: now.leases_overdue),
    "oldest_lease_age_seconds": ("How long the oldest lease is held", lambda now: now.oldest_lease),
}
_COUNTERS_OF_DEVICES: Mapping[str, tuple[str, Callable[[DeviceStatistics], float]]] = {
    "device_connects": ("Connections to the board", lambda device: device.done.connects),
    "device_link_errors": (
        "Links that were lost, and answers that were not the raw REPL's",
        lambda device: device.done.link_errors,
    ),
    "device_sent_bytes": ("Bytes sent to the board", lambda device: device.done.bytes_sent),
    "device_received_bytes": ("Bytes received from the board", lambda device: device.done.bytes_received),
}
_GAUGES_OF_DEVICES: Mapping[str, tuple[str, Callable[[DeviceStatistics], float | None]]] = {
    "device_connected": ("1 while the board is connected", lambda device: device.done.connected_since is not None),
    "device_in_use": ("1 while a lease or a call has the board", lambda device: device.in_use),
    "device_quarantined": ("1 while the board is left alone", lambda device: device.quarantined),
    "device_generation": ("Which connection of its session it is", lambda device: device.generation),
    "device_uptime_seconds": ("How long the board has been connected", lambda device: device.done.uptime),
    "device_round_trip_seconds": (
        "What the question about the board took at the latest connect",
        lambda device: device.done.round_trip,
    ),
    "device_healthy": (
        "Whether the latest check of the board was well",
        lambda device: None if device.finding is None else device.finding.ok,
    ),
    "device_heap_free_bytes": (
        "Free heap at the latest check",
        lambda device: None if device.finding is None else device.finding.heap_free,
    ),
    "device_storage_free_bytes": (
        "Free room for files at the latest check",
        lambda device: None if device.finding is None else device.finding.storage_free,
    ),
}


class BelayCollector:
    """The metrics of one manager. May be collected in any thread, while the manager works in another.

    ``namespace`` is what all names begin with: managers that share a registry need one each. Raises `SettingsError`
    where it is no name.
    """

    def __init__(self, manager: HasStatistics, *, namespace: str = "belay") -> None:
        if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", namespace):
            raise SettingsError(f"the namespace is {namespace!r}; it must be a name: letters, digits, underscores")
        if not callable(getattr(manager, "statistics", None)):  # a session's is a property
            raise SettingsError(
                f"what is to be exposed is {manager!r}; it must be a manager: DeviceSessionManager() keeps one device "
                "as well as many"
            )
        self._manager = manager
        self._namespace = namespace

    def describe(self) -> Iterable[Metric]:
        """Return the metrics as they are: a registry looks at their names."""
        return tuple(self.collect())

    def collect(self) -> Iterator[Metric]:
        """Yield what the manager says now. Raises `SessionTimeout` when its event loop does not answer.

        prometheus_client turns that into a scrape that fails, which is right: nothing is known then.
        """
        now = self._manager.statistics()
        for name, (text, read) in _COUNTERS.items():
            counter = self._counter(name, text)
            counter.add_metric([], read(now))
            yield counter
        for name, (text, read) in _GAUGES.items():
            yield self._gauge(name, text, [([], read(now))])
        yield from self._by_words(now)
        yield self._histogram("lease_wait_seconds", "From asking for a lease to having its boards", [
            ([], now.BOUNDS, now.lease_waits, now.lease_wait_time)
        ])  # fmt: skip
        yield self._histogram("lease_hold_seconds", "How long leases were held that came back", [
            ([], now.HOLDS, now.lease_holds, now.lease_hold_time)
        ])  # fmt: skip
        yield self._histogram("session_lifetime_seconds", "How long sessions lived that are over for good", [
            ([], now.LIFETIMES, now.session_lifetimes, now.session_time)
        ])  # fmt: skip
        yield from self._devices({
            key: device for key, device in now.devices.items() if device.gone_for < REMEMBERED
        })  # fmt: skip

    def _by_words(self, now: ManagerStatistics) -> Iterator[Metric]:
        disconnects = self._counter("disconnects", "Connections that have ended, by the reason", "reason")
        for reason, count in now.closed.items():
            disconnects.add_metric([reason], count)
        yield disconnects
        failures = self._counter("lease_failures", "Leases that came to nothing, by what was raised", "outcome")
        for outcome, count in now.lease_failures.items():
            failures.add_metric([outcome], count)
        yield failures
        states = [device.state for device in now.devices.values()]
        yield self._gauge(
            "sessions",
            "Sessions that are there, by their state",
            [([state.name.lower()], states.count(state)) for state in DeviceSessionState],
            "state",
        )

    def _devices(self, devices: Mapping[str, DeviceStatistics]) -> Iterator[Metric]:
        operations = self._counter("operations", "Operations, by how they ended", "device", "outcome")
        for key, device in devices.items():
            outcomes = {"ok": device.done.operations - device.done.errors, **device.done.failures}
            for outcome, count in outcomes.items():
                operations.add_metric([key, outcome], count)
        yield operations
        yield self._histogram(
            "operation_duration_seconds",
            "How long operations took",
            [
                ([key], device.done.BOUNDS, device.done.durations, device.done.duration)
                for key, device in devices.items()
            ],
            "device",
        )
        for name, (text, read) in _COUNTERS_OF_DEVICES.items():
            counter = self._counter(name, text, "device")
            for key, device in devices.items():
                counter.add_metric([key], read(device))
            yield counter
        there = {key: device for key, device in devices.items() if device.known}
        for name, (text, look) in _GAUGES_OF_DEVICES.items():
            found = [([key], value) for key, device in there.items() if (value := look(device)) is not None]
            yield self._gauge(name, text, found, "device")

    # -- internals ----------------------------------------------------------------------------------------------

    def _name(self, name: str) -> str:
        return f"{self._namespace}_{name}"

    def _counter(self, name: str, text: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(self._name(name), text, labels=labels)

    def _gauge(self, name: str, text: str, found: Sequence[tuple[list[str], float]], *labels: str) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(self._name(name), text, labels=labels)
        for values, value in found:
            gauge.add_metric(values, value)
        return gauge

    def _histogram(
        self,
        name: str,
        text: str,
        found: Sequence[tuple[list[str], Sequence[float], Sequence[int], float]],
        *labels: str,
    ) -> HistogramMetricFamily:
        histogram = HistogramMetricFamily(self._name(name), text, labels=labels)
        for values, bounds, counts, total in found:
            ends = [*map(str, map(float, bounds)), "+Inf"]
            histogram.add_metric(values, list(zip(ends, accumulate(counts), strict=True)), total)
        return histogram


def expose(
    manager: HasStatistics, *, registry: CollectorRegistry = REGISTRY, namespace: str = "belay"
) -> Callable[[], None]:
    """Put a manager's metrics into a registry, by default prometheus_client's own; return what takes them out again.

    How they are served is the application's affair: ``prometheus_client.start_http_server``, or its ASGI or WSGI app.
    Raises `SettingsError` where the registry has metrics of these names, or ``namespace`` is no name.
    """
    collector = BelayCollector(manager, namespace=namespace)
    try:
        registry.register(collector)
    except ValueError:  # its words are the names of all metrics
        raise SettingsError(
            f"the registry has metrics named {namespace}_... already; expose a manager once, and give each of several "
            "a namespace of its own"
        ) from None
    left = [collector]

    def take_out() -> None:
        while left:
            registry.unregister(left.pop())

    return take_out
