"""Spans and metrics for OpenTelemetry, by its API alone; the application has the SDK.

It needs the extra ``opentelemetry``. Names follow the semantic conventions of database clients, which have pools and
connections too: ``belay.client.…`` for ``db.client.…``, and ``error.type``. Metrics have devices, operations and errors
as attributes; what there is without end (sessions, generations, ports) is on spans only.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol

from belay_py import __version__
from belay_py.errors import NotSupported, SettingsError
from belay_py.session.statistics import SessionStatistics, outcome_of

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
except ImportError as error:
    raise NotSupported('opentelemetry-api is not installed here; run: pip install "belay_py[opentelemetry]"') from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from belay_py.manager.statistics import ManagerStatistics
    from belay_py.metrics import Instrument, Operation

_NAME: Final = "belay_py"
_OURS: Final = contexts.create_key("belay_py observation")
_ERROR: Final = "error.type"
_DEVICE: Final = "belay.device.id"
_OPERATION: Final = "belay.operation.name"
_SILENT: Final = ("opentelemetry.trace", "opentelemetry.metrics")
"""Where the API's own providers are, which do nothing."""
_CONNECTS: Final = ("connect", "reconnect")


class Instrumentable(Protocol):
    """A session or a manager, asynchronous or blocking."""

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """See `DeviceSession.instrument`."""


class Telemetry:
    """An instrument that makes spans and metrics of what it is told; one may serve several sessions and managers.

    Providers default to the global ones, which the application may also set later: that is noticed within a second.
    Where there is no SDK, nothing is made of anything.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._shared = _Shared(meter)
        self._is_heard = tracer_provider is not None or meter_provider is not None
        self._look_at = 0.0
        self._managers: weakref.WeakSet[Any] = weakref.WeakSet()
        meter.create_observable_up_down_counter(
            "belay.client.connection.count",
            [self._observed(_counts)],
            "{connection}",
            "Boards that are connected or in use, by whether somebody has them",
        )
        meter.create_observable_up_down_counter(
            "belay.client.connection.max",
            [self._observed(lambda now: [(now.max_sessions, {})])],
            "{connection}",
            "The option max_sessions",
        )
        meter.create_observable_up_down_counter(
            "belay.client.connection.pending_requests",
            [self._observed(lambda now: [(now.waiting, {})])],
            "{request}",
            "How many wait for a board",
        )

    def instrument(self, what: Instrumentable) -> Callable[[], None]:
        """Make spans and metrics of a session or a manager from now on; return what ends that.

        Raises `SettingsError` for what is neither.
        """
        if isinstance(what, type) or not callable(getattr(what, "instrument", None)):
            raise SettingsError(f"what is to be instrumented is {what!r}; it must be a session or a manager")
        uninstall = what.instrument(self)
        if callable(getattr(type(what), "statistics", None)):  # a session's is a property, and has no pool to count
            self._managers.add(what)

        def end() -> None:
            self._managers.discard(what)
            uninstall()

        return end

    def begin(self, operation: Operation, /) -> _Watched | None:
        """See `belay_py.metrics.Instrument`."""
        if not self._is_heard and not self._look_for_an_sdk():
            return None
        current = contexts.get_current()
        parent = self._parent(operation, current)
        span = self._tracer.start_span(
            f"{operation.kind} {operation.device_id}".rstrip(),
            parent,
            trace.SpanKind.INTERNAL if operation.kind == "lease" else trace.SpanKind.CLIENT,  # it asks no board
            {name: value for name, value in _attributes(operation) if value},
        )
        return _Watched(self._shared, operation, span, _living(current), parent)

    def _look_for_an_sdk(self) -> bool:
        """Return whether anybody hears of it; look once a second, as the API's own no-op span costs 9 µs."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + 1.0
            providers = (trace.get_tracer_provider(), metrics.get_meter_provider())
            self._is_heard = any(not type(each).__module__.startswith(_SILENT) for each in providers)
        return self._is_heard

    def _parent(self, operation: Operation, current: Context) -> Context:
        """Return the context of the span above.

        Another thread or task than the one that took a lease does not see that in its context, and may use its boards
        all the same; a span that the user has begun there stands nearer than the lease.
        """
        ours = _watched_in(current)
        if ours is not None and ours.is_over:
            # Of a task that was begun in there, such as one that connects a lost board again: it is of nobody's call.
            current = contexts.Context()
        lease = self._shared.leases.get(operation.session_id)
        if lease is None or ours is lease:
            return current
        return lease.context if _span_id(current) in (0, lease.above) else current

    def _observed(
        self, read: Callable[[ManagerStatistics], Iterable[tuple[int, Mapping[str, str]]]]
    ) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def callback(_: CallbackOptions) -> Iterator[Observation]:
            totals: dict[tuple[tuple[str, str], ...], int] = {}
            for manager in list(self._managers):
                for value, attributes in read(manager.statistics()):
                    key = tuple(attributes.items())
                    totals[key] = totals.get(key, 0) + value
            for key, total in totals.items():
                yield metrics.Observation(total, dict(key))

        return callback


class _Shared:
    """What the spans of one `Telemetry` share."""

    def __init__(self, meter: metrics.Meter) -> None:
        def histogram(name: str, text: str) -> metrics.Histogram:
            return meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=SessionStatistics.BOUNDS)

        self.leases: dict[str, _Watched] = {}
        """By the ids of the sessions that they hold."""
        self.durations = histogram("belay.client.operation.duration", "How long operations took, waiting included")
        self.connects = histogram("belay.client.connection.create_time", "How long connecting took")
        self.waits = histogram("belay.client.connection.wait_time", "From asking for a lease to having its boards")
        self.timeouts = meter.create_counter(
            "belay.client.connection.timeouts", "{timeout}", "Leases whose boards were not free before the deadline"
        )
        self.uses = histogram("belay.client.connection.use_time", "How long leases were held")


class _Watched:
    """One operation's span."""

    def __init__(self, shared: _Shared, operation: Operation, span: Span, outer: Context, parent: Context) -> None:
        self._shared = shared
        self._operation = operation
        self._span = span
        self._sessions: Mapping[str, str] = {}
        self._waited = 0.0
        self.is_over = False
        self.outer = outer
        self.above = _span_id(outer)
        """The span in which it was asked for, as a number; 0 for none."""
        self.context = contexts.set_value(_OURS, self, trace.set_span_in_context(span, parent))
        if operation.kind != "stream":  # a generator's context is its consumer's, who would have it between two pieces
            contexts.attach(self.context)

    def granted(self, sessions: Mapping[str, str], waited: float, /) -> None:
        """See `belay_py.metrics.Observation`."""
        self._sessions, self._waited = sessions, waited
        self._span.set_attribute(_DEVICE, ", ".join(sessions))
        for device_id, session_id in sessions.items():
            self._shared.leases[session_id] = self
            self._shared.waits.record(waited, {_DEVICE: device_id})

    def ended(self, duration: float, error: BaseException | None, /) -> None:
        """See `belay_py.metrics.Observation`."""
        self.is_over = True
        span = self._span
        attributes: dict[str, str] = {}
        if error is not None:
            attributes[_ERROR] = _error_type(error)
            span.set_attribute(_ERROR, attributes[_ERROR])
            span.record_exception(error)
            span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
        span.end()
        self._count(duration, attributes)
        if contexts.get_current() is self.context:
            contexts.attach(_living(self.outer))  # no token: a lease may end in another task than it began in

    def _count(self, duration: float, attributes: dict[str, str]) -> None:
        shared, operation = self._shared, self._operation
        if operation.kind == "lease":
            for device_id, session_id in self._sessions.items():
                if shared.leases.get(session_id) is self:
                    del shared.leases[session_id]
                shared.uses.record(max(0.0, duration - self._waited), {_DEVICE: device_id})
            if attributes.get(_ERROR) == "DeviceBusy":
                shared.timeouts.add(1, {_DEVICE: operation.device_id})
            return
        attributes[_DEVICE] = operation.device_id
        if operation.kind in _CONNECTS:
            shared.connects.record(duration, attributes)
        else:
            shared.durations.record(duration, {**attributes, _OPERATION: operation.kind})


def _watched_in(context: Context) -> _Watched | None:
    found = contexts.get_value(_OURS, context)
    return found if isinstance(found, _Watched) else None


def _living(context: Context) -> Context:
    """The innermost context whose operation still goes on: leases may end in another order than they began."""
    while (watched := _watched_in(context)) is not None and watched.is_over:
        context = watched.outer
    return context


def _span_id(context: Context) -> int:
    return trace.get_current_span(context).get_span_context().span_id


def _attributes(operation: Operation) -> Iterator[tuple[str, str | int]]:
    yield _OPERATION, operation.kind
    yield _DEVICE, operation.device_id
    yield "belay.session.id", operation.session_id
    yield "belay.session.generation", operation.generation
    yield "belay.device.port", operation.port


def _error_type(error: BaseException) -> str:
    outcome = outcome_of(error)
    return "_OTHER" if outcome == "other" else outcome


def _counts(now: ManagerStatistics) -> Iterable[tuple[int, Mapping[str, str]]]:
    return [
        (now.in_use, {"belay.client.connection.state": "used"}),
        (max(0, now.slots - now.in_use), {"belay.client.connection.state": "idle"}),
    ]
