"""The fixtures. What they need is imported by the first test that uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin.options import scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.pytest_plugin.options import Scope
    from belay_py.pytest_plugin.provisioning import BoardFiles
    from belay_py.sync import DeviceSession, DeviceSessionManager
    from belay_py.virtual import BoardProcess


def _board_scope(fixture_name: str, config: pytest.Config) -> Scope:
    del fixture_name
    return scope(config)


@pytest.fixture(scope=_board_scope)
def board(request: pytest.FixtureRequest) -> Iterator[DeviceSession]:
    """A clean board that is the test's alone: a blocking `belay_py.sync.DeviceSession`, connected.

    With the fixture ``virtual_board`` it is that board.
    """
    from belay_py.pytest_plugin.giving import seated  # noqa: PLC0415  see the module

    with seated(request, "board") as seat:
        yield seat.session


@pytest.fixture
def boards(request: pytest.FixtureRequest) -> Iterator[tuple[DeviceSession, ...]]:
    """Several clean boards: as many as the marker's ``count`` says, else all that are free and fit."""
    from belay_py.pytest_plugin.giving import give_several  # noqa: PLC0415  see the module

    with give_several(request, "boards") as sessions:
        yield sessions


@pytest.fixture(scope="session")
def board_manager(request: pytest.FixtureRequest) -> DeviceSessionManager:
    """The manager of this process's boards, a blocking `belay_py.sync.DeviceSessionManager`.

    Boards are added to it as tests ask for them.
    """
    from belay_py.pytest_plugin.bench import bench_of  # noqa: PLC0415  see the module

    return bench_of(request.config).manager


@pytest.fixture
def virtual_board() -> Iterator[BoardProcess]:
    """A new virtual board: what holds its plug, its reset button and the other end of its pins; `port` is its URL."""
    from belay_py.pytest_plugin.giving import new_virtual_board  # noqa: PLC0415  see the module

    with new_virtual_board() as process:
        yield process


@pytest.fixture
def board_files(board: DeviceSession, request: pytest.FixtureRequest) -> Iterator[BoardFiles]:
    """The files of ``board``: what the test writes or removes through this is as before at its end."""
    from belay_py.pytest_plugin.giving import seat_of  # noqa: PLC0415  see the module
    from belay_py.pytest_plugin.provisioning import BoardFiles  # noqa: PLC0415  see the module

    seat = seat_of(request.config, board)
    files = BoardFiles(board)
    yield files
    files.restore(seat.clean)
