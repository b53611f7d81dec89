"""Spans form the right tree, with errors where there were any, and metrics have the conventions' shapes."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import math
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from belay_py import DeviceSession, DeviceSessionManager, ExecutionError, SettingsError
from belay_py.errors import DeviceBusy
from belay_py.integrations.opentelemetry import Telemetry, _Watched
from belay_py.metrics import Operation
from belay_py.sync import DeviceSessionManager as BlockingManager
from belay_py.testing import ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import Iterator


class Traced:
    """A telemetry, what it has exported, and a tracer of the user's own."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(tracer_provider=provider, meter_provider=self.meters)
        self.tracer = provider.get_tracer("the user's")

    def spans(self) -> list[ReadableSpan]:
        """All that have ended, in the order in which they began."""
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def tree(self) -> list[str]:
        """Each span's name behind those above it, in the order in which they began."""
        spans = {span.context.span_id: span for span in self.spans() if span.context}

        def path(span: ReadableSpan) -> str:
            above = None if span.parent is None else spans[span.parent.span_id]
            return span.name if above is None else f"{path(above)} > {span.name}"

        return [path(span) for span in spans.values()]

    def points(self) -> dict[str, list[Any]]:
        """The points of each metric."""
        data = self.reader.get_metrics_data()
        assert data is not None
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    assert trace.get_current_span() is trace.INVALID_SPAN, "a span stayed the current one"
    made.meters.shutdown()


async def test_the_tree_of_a_lease(traced: Traced, port: str) -> None:
    async with DeviceSessionManager() as manager:
        traced.telemetry.instrument(manager)
        await manager.create_session("pump", port, connect=False)
        with traced.tracer.start_as_current_span("request"):
            async with manager.lease("pump") as session:
                await session.execute("x = 1")
                with traced.tracer.start_as_current_span("measure"):
                    await session.evaluate("x")
                await asyncio.gather(session.execute("pass"), session.files.write_bytes("/t", b"x"))
            await manager["pump"].execute("pass")
        assert trace.get_current_span() is trace.INVALID_SPAN
        await manager["pump"].execute("pass")
    assert traced.tree() == [
        "request",
        "request > lease pump",
        "request > lease pump > connect pump",
        "request > lease pump > execute pump",
        "request > lease pump > measure",
        "request > lease pump > measure > evaluate pump",
        "request > lease pump > execute pump",
        "request > lease pump > files pump",
        "request > execute pump",
        "execute pump",
    ]


async def test_what_a_span_says(traced: Traced, port: str) -> None:
    async with DeviceSession(port, device_id="pump") as session:
        traced.telemetry.instrument(session)
        await session.execute("pass")
    [span] = traced.spans()
    assert span.kind is trace.SpanKind.CLIENT
    assert span.attributes == {
        "belay.operation.name": "execute",
        "belay.device.id": "pump",
        "belay.session.id": session.session_id,
        "belay.session.generation": 1,
        "belay.device.port": port,
    }
    assert span.status.status_code is trace.StatusCode.UNSET


async def test_errors_are_recorded(traced: Traced, port: str) -> None:
    async with DeviceSession(port, device_id="pump") as session:
        traced.telemetry.instrument(session)
        with pytest.raises(ExecutionError):
            await session.execute("1/0")
        running = asyncio.ensure_future(session.execute("while True: pass", timeout=math.inf))
        while session.state.name != "ACTIVE":
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with aclosing(session.stream("print(1)")) as pieces:
            async for _ in pieces:
                break
    failed, cancelled, left = traced.spans()
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert "ZeroDivisionError" in (failed.status.description or "")
    assert (failed.attributes or {})["error.type"] == "ExecutionError"
    assert [event.name for event in failed.events] == ["exception"]
    assert (cancelled.attributes or {})["error.type"] == "CancelledError"
    assert "error.type" not in (left.attributes or {})


async def test_a_refused_lease_is_an_error_and_no_lease(traced: Traced) -> None:
    board = ScriptedBoard("refused")
    async with DeviceSessionManager() as manager:
        await manager.create_session("a", board.port)
        traced.telemetry.instrument(manager)
        async with manager.lease("a") as session:

            async def other() -> None:
                with traced.tracer.start_as_current_span("other"), pytest.raises(DeviceBusy):
                    await manager.lease("a", timeout=0).acquire()

            await asyncio.create_task(other())
            await session.execute("1")
    [timeouts] = traced.points()["belay.client.connection.timeouts"]
    assert (timeouts.value, timeouts.attributes) == (1, {"belay.device.id": "a"})
    assert traced.tree() == [
        "lease a",
        "lease a > other",
        "lease a > other > lease a",
        "lease a > execute a",
    ]


async def test_leases_that_end_in_another_order_or_task_leave_no_span_behind(traced: Traced) -> None:
    boards = {name: ScriptedBoard(f"order-{name}") for name in "abc"}
    async with DeviceSessionManager() as manager:
        for name, board in boards.items():
            await manager.create_session(name, board.port)
        traced.telemetry.instrument(manager)
        first, second, third = (manager.lease(name) for name in "abc")
        await first.acquire()
        await second.acquire()
        first.release()
        second.release()
        assert trace.get_current_span() is trace.INVALID_SPAN
        session = await third.acquire()

        async def elsewhere() -> None:
            await session.execute("1")
            third.release()

        await asyncio.create_task(elsewhere())
        await manager["a"].execute("1")
        async with manager.lease("b"):
            pass
    assert traced.tree() == ["lease a", "lease a > lease b", "lease c", "lease c > execute c", "execute a", "lease b"]


async def test_connecting_again_belongs_to_nobodys_call(traced: Traced) -> None:
    board = ScriptedBoard("again")
    async with DeviceSessionManager() as manager:
        traced.telemetry.instrument(manager)
        with traced.tracer.start_as_current_span("request"):
            session = await manager.create_session("a", board.port, reconnect_delay=0.001)
            await session.execute("1")
        for generation in (2, 3):
            board.lose()
            while session.generation < generation or session.state.name != "CONNECTED":
                await asyncio.sleep(0)
    assert traced.tree() == [
        "request",
        "request > connect a",
        "request > execute a",
        "reconnect a",
        "reconnect a",
    ]


def test_the_tree_of_a_blocking_lease(traced: Traced, port: str) -> None:
    with BlockingManager() as manager:
        traced.telemetry.instrument(manager)
        manager.create_session("pump", port)
        with traced.tracer.start_as_current_span("request"), manager.lease("pump") as session:
            session.execute("pass")
            with traced.tracer.start_as_current_span("measure"):
                session.execute("pass")
        manager["pump"].execute("pass")
    assert traced.tree() == [
        "connect pump",
        "request",
        "request > lease pump",
        "request > lease pump > execute pump",
        "request > lease pump > measure",
        "request > lease pump > measure > execute pump",
        "execute pump",
    ]


def test_threads_use_the_boards_of_a_blocking_lease_below_it(traced: Traced, port: str) -> None:
    def work(name: str) -> None:
        with traced.tracer.start_as_current_span(name):
            session.execute("pass")
        session.execute("pass")

    with BlockingManager() as manager:
        manager.create_session("pump", port)
        traced.telemetry.instrument(manager)
        with manager.lease("pump") as session:
            threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sorted(traced.tree()) == [
        "lease pump",
        "lease pump > execute pump",
        "lease pump > execute pump",
        "one",
        "one > execute pump",
        "two",
        "two > execute pump",
    ]


def test_a_blocking_lease_that_comes_to_nothing_leaves_no_span_behind(traced: Traced, port: str) -> None:
    with BlockingManager() as manager:
        manager.create_session("pump", port)
        traced.telemetry.instrument(manager)
        with manager.lease("pump") as session:
            inside = trace.get_current_span()
            with pytest.raises(DeviceBusy):
                manager.lease("pump", timeout=0).acquire()
            assert trace.get_current_span() is inside
            with pytest.raises(ExecutionError):
                session.execute("1/0")
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert traced.tree() == ["lease pump", "lease pump > lease pump", "lease pump > execute pump"]


async def test_tasks_side_by_side_do_not_mix_their_spans_up(traced: Traced) -> None:
    boards = {name: ScriptedBoard(f"side-{name}") for name in "abc"}
    async with DeviceSessionManager() as manager:
        for name, board in boards.items():
            await manager.create_session(name, board.port)
        traced.telemetry.instrument(manager)

        async def failing() -> None:
            async with manager.lease("c"):
                await asyncio.sleep(0)
                raise ZeroDivisionError

        async def request(name: str) -> None:
            with traced.tracer.start_as_current_span(f"request {name}"):
                for _ in range(5):
                    async with manager.lease(name) as session:
                        await asyncio.gather(session.execute("1"), session.execute("2"))
                        with pytest.raises(ZeroDivisionError):
                            await failing()

        await asyncio.gather(*(request(name) for name in "ab" for _ in range(3)))
    for line in traced.tree():
        first, *rest = line.split(" > ")
        name = first.removeprefix("request ")
        assert rest in ([], [f"lease {name}"], [f"lease {name}", f"execute {name}"], [f"lease {name}", "lease c"])
    assert len(traced.tree()) == 6 + 30 * 4
    ended = [span for span in traced.spans() if span.name == "lease c"]
    assert {span.status.status_code for span in ended} == {trace.StatusCode.UNSET}  # what a block raises is its own
    assert {span.kind for span in ended} == {trace.SpanKind.INTERNAL}


async def test_metrics_have_the_shapes_of_the_conventions(traced: Traced, port: str) -> None:
    async with DeviceSessionManager(max_sessions=3) as manager:
        end = traced.telemetry.instrument(manager)
        await manager.create_session("pump", port)
        async with manager.lease("pump") as session:
            await session.execute("pass")
            with pytest.raises(ExecutionError):
                await session.execute("1/0")
            points = traced.points()
            counts = {point.attributes["belay.client.connection.state"]: point.value for point in points[
                "belay.client.connection.count"
            ]}  # fmt: skip
            assert counts == {"used": 1, "idle": 0}
        points = traced.points()
        assert [point.value for point in points["belay.client.connection.max"]] == [3]
        assert [point.value for point in points["belay.client.connection.pending_requests"]] == [0]
        durations = {
            (point.attributes["belay.operation.name"], point.attributes.get("error.type")): point.count
            for point in points["belay.client.operation.duration"]
        }
        assert durations == {("execute", None): 1, ("execute", "ExecutionError"): 1}
        for name in ("create_time", "wait_time", "use_time"):
            [point] = points[f"belay.client.connection.{name}"]
            assert (point.count, point.attributes) == (1, {"belay.device.id": "pump"})
            assert point.sum >= 0
        attributes = {name for found in points.values() for point in found for name in point.attributes}
        assert attributes == {"belay.device.id", "belay.operation.name", "belay.client.connection.state", "error.type"}
        end()
        assert "belay.client.connection.max" not in traced.points()
        before = len(traced.spans())
        await session.settled()
        await manager["pump"].execute("pass")
        assert len(traced.spans()) == before


def test_what_is_no_session_and_no_manager_is_refused() -> None:
    for wrong in ("virtual:", DeviceSession, None):
        with pytest.raises(SettingsError, match="must be a session or a manager"):
            Telemetry().instrument(wrong)  # type: ignore[arg-type]  # what a user writes


async def test_without_an_sdk_operations_go_on(port: str) -> None:
    async with DeviceSessionManager() as manager:
        Telemetry().instrument(manager)
        await manager.create_session("pump", port)
        async with manager.lease("pump") as session:
            assert (await session.execute("print(1)")).output == "1\n"
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_stream_is_not_the_span_of_its_consumers_block(traced: Traced, port: str) -> None:
    async with DeviceSession(port, device_id="pump") as session:
        traced.telemetry.instrument(session)
        async for _ in session.stream("print(1)"):
            assert trace.get_current_span() is trace.INVALID_SPAN
            with traced.tracer.start_as_current_span("handle"):
                pass
    assert sorted(traced.tree()) == ["handle", "stream pump"]


def test_the_use_of_a_lease_begins_when_it_is_granted(traced: Traced) -> None:
    watched = traced.telemetry.begin(Operation("lease", "a"))
    assert watched is not None
    watched.granted({"a": "cafe"}, 2.0)
    watched.ended(5.0, None)
    [use], [wait] = (traced.points()[f"belay.client.connection.{name}_time"] for name in ("use", "wait"))
    assert (use.sum, wait.sum) == (3.0, 2.0)


async def test_spans_that_are_over_are_let_go(traced: Traced) -> None:
    board = ScriptedBoard("let-go")
    async with DeviceSessionManager(quarantine_after=100) as manager:
        traced.telemetry.instrument(manager)
        session = await manager.create_session("a", board.port, reconnect_delay=0.001)
        for generation in range(2, 12):
            board.lose()
            while session.generation < generation or session.state.name != "CONNECTED":
                await asyncio.sleep(0)
        gc.collect()
        assert sum(isinstance(each, _Watched) for each in gc.get_objects()) < 5
    assert len(traced.spans()) == 11


def test_tasks_that_begin_tasks_make_no_chain_of_spans(traced: Traced) -> None:
    def reconnect() -> contextvars.Context:
        watched = traced.telemetry.begin(Operation("reconnect", "a"))
        assert watched is not None
        inside = contextvars.copy_context()  # as that of a task, or of a reader's callback, which outlives it
        watched.ended(1.0, None)
        return inside

    latest = contextvars.copy_context()
    for _ in range(10):
        latest = latest.run(reconnect)
    gc.collect()
    assert sum(isinstance(each, _Watched) for each in gc.get_objects()) <= 2
    assert traced.tree() == ["reconnect a"] * 10
