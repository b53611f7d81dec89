"""The fixture ``async_board``, for whichever plugin runs a project's asynchronous tests."""

from __future__ import annotations

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
    if manager.has_plugin("asyncio"):
        import pytest_asyncio  # noqa: PLC0415  it is loaded

        make = pytest_asyncio.fixture
        vars(plugin)["pytest_fixture_setup"] = _left_to_anyio
    vars(plugin)["async_board"] = make()(_made())
    return plugin


@pytest.hookimpl(wrapper=True, tryfirst=True)
def _left_to_anyio(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, object, object]:
    """In a test of anyio, with pytest-asyncio beside it: the board is of anyio's loop, not of pytest-asyncio's."""
    if fixturedef.argname != "async_board" or "anyio_backend" not in request.fixturenames:
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixturedef, "func", _made())
        return (yield)
