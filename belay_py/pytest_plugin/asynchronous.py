"""The fixture ``async_board``, for whichever plugin runs a project's asynchronous tests."""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from belay_py.session.session import DeviceSession


def _made() -> Callable[..., AsyncIterator[DeviceSession]]:
    async def async_board(request: pytest.FixtureRequest) -> AsyncIterator[DeviceSession]:
        """A clean board that is the test's alone: a `belay_py.DeviceSession` of the test's own loop, connected."""
        import asyncio  # noqa: PLC0415  by the first test that asks: it takes longer than the rest of the plugin

        from belay_py.pytest_plugin.bench import bench_of  # noqa: PLC0415  as above
        from belay_py.pytest_plugin.giving import seated  # noqa: PLC0415  as above
        from belay_py.session.session import DeviceSession  # noqa: PLC0415  as above

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            pytest.fail(
                "belay: 'async_board' needs asyncio: have the fixture 'anyio_backend' return 'asyncio'", pytrace=False
            )
        with seated(request, "async_board") as seat:
            seat.disconnect()  # one session at a time has the port; the board stays claimed
            options = bench_of(request.config).session_options(seat.candidate)
            session = DeviceSession(options, device_id=seat.candidate.name)
            try:
                await session.connect()
                yield session
            finally:
                await session.close()

    return async_board


def fixtures_for(manager: pytest.PytestPluginManager) -> types.ModuleType:
    """Return a plugin with ``async_board``, made by pytest-asyncio where that is: its strict mode runs no other."""
    plugin = types.ModuleType("belay_py.pytest_plugin.asynchronous.fixtures")
    make: Callable[..., Any] = pytest.fixture
    function = _made()
    if manager.has_plugin("asyncio"):
        import pytest_asyncio  # noqa: PLC0415  it is loaded

        make = pytest_asyncio.fixture
        vars(plugin)["pytest_fixture_setup"] = _on_the_tests_loop(function, make)
    vars(plugin)["async_board"] = make()(function)
    return plugin


def _on_the_tests_loop(function: Callable[..., Any], make: Callable[..., Any]) -> Callable[..., Any]:
    """Return a hook that has ``function`` run on the loop of the test.

    pytest-asyncio would run it on the loop that its options name for all fixtures, also in tests of anyio.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
        marker = request.node.get_closest_marker("asyncio")
        is_anyios = "anyio_backend" in request.fixturenames
        # Older ones of pytest-asyncio have wrapped it by now, and cannot run another one in its place.
        there = inspect.unwrap(fixturedef.func) if is_anyios else fixturedef.func
        if there is not function or not (marker or is_anyios):
            return (yield)
        own = _made()
        if marker is not None and not is_anyios:
            named = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
            make(loop_scope=named)(own)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fixturedef, "func", own)
            return (yield)

    return pytest_fixture_setup
