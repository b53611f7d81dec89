"""Nothing here is loaded by who does not want it, and whoever lacks a library is told which one."""

from __future__ import annotations

import subprocess
import sys

import pytest

LATER = """
import asyncio, sys
from belay_py import DeviceSession
from belay_py.integrations.opentelemetry import Telemetry
from belay_py.testing import ScriptedBoard
from opentelemetry import trace

async def main():
    telemetry, board = Telemetry(), ScriptedBoard("later")
    async with DeviceSession(board.port) as session:
        telemetry.instrument(session)
        await session.execute("1")
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
        while not exporter.get_finished_spans():
            await session.execute("1")
        print(exporter.get_finished_spans()[0].name)

asyncio.run(main())
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    return done.stdout + done.stderr.strip().rpartition("\n")[2]


def loaded_by(statements: str) -> set[str]:
    optional = ("fastapi", "starlette", "prometheus_client", "opentelemetry", "belay_py.integrations")
    return set(run(f"import sys\n{statements}\nprint(*(n for n in sys.modules if n.startswith({optional})))").split())


def test_the_core_loads_none_of_it() -> None:
    every = "import belay_py\nfor name in belay_py.__all__: getattr(belay_py, name)\nbelay_py.DeviceSessionManager()"
    assert loaded_by(f"{every}\nimport belay_py.sync, belay_py.testing, belay_py.virtual, belay_py.cli") == set()
    assert "fastapi" in loaded_by("import belay_py.integrations.fastapi")  # it would be seen


def test_problems_need_no_framework() -> None:
    assert loaded_by("import belay_py.integrations.problems") == {
        "belay_py.integrations",
        "belay_py.integrations.problems",
    }


@pytest.mark.parametrize(
    ("module", "library"),
    [("fastapi", "fastapi"), ("prometheus", "prometheus_client"), ("opentelemetry", "opentelemetry")],
)
def test_who_lacks_the_library_is_told(module: str, library: str) -> None:
    said = run(f"import sys; sys.modules[{library!r}] = None; import belay_py.integrations.{module}")
    assert said.startswith("belay_py.errors.NotSupported: ")
    assert f'pip install "belay_py[{module}]"' in said


def test_an_sdk_that_is_set_later_is_noticed() -> None:
    assert run(LATER) == "execute memory:later\n"
