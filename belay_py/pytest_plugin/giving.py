"""What the fixtures do: boards given for as long as a block runs."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Final

import pytest

from belay_py.errors import BelayError
from belay_py.pytest_plugin.bench import bench_of
from belay_py.pytest_plugin.candidates import Candidate
from belay_py.pytest_plugin.wanted import wanted_by
from belay_py.virtual import BoardProcess, open_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.pytest_plugin.seats import Seat
    from belay_py.sync import DeviceSession

_numbers: Final = itertools.count(1)


@contextlib.contextmanager
def seated(request: pytest.FixtureRequest, fixture: str) -> Iterator[Seat]:
    """Give one board: that of ``virtual_board`` if the test has one, else any that fits."""
    bench = bench_of(request.config)
    own = _own(request)
    seat = bench.take(wanted_by(request.node), fixture=fixture, only=own)
    try:
        yield seat
    finally:
        seat.release()
        if own is not None:
            bench.forget(own)


@contextlib.contextmanager
def give_several(request: pytest.FixtureRequest, fixture: str) -> Iterator[tuple[DeviceSession, ...]]:
    """Give several boards: all of them, or none."""
    bench = bench_of(request.config)
    seats = bench.take_several(wanted_by(request.node), fixture=fixture)
    try:
        yield tuple(seat.session for seat in seats)
    finally:
        for seat in seats:
            seat.release()


def _own(request: pytest.FixtureRequest) -> Candidate | None:
    """The board of the fixture ``virtual_board``, if the test has that too."""
    if "virtual_board" not in request.fixturenames:
        return None
    if request.scope != "function":
        pytest.fail(
            f"belay: 'virtual_board' is one test's, and 'board' is here for a {request.scope} "
            "(--belay-board-scope); take one of them",
            pytrace=False,
        )
    process: BoardProcess = request.getfixturevalue("virtual_board")
    return Candidate(process.port, bench_of(request.config).options.session_options(process.port, {}))


@contextlib.contextmanager
def new_virtual_board() -> Iterator[BoardProcess]:
    """Start a virtual board and end it; the test fails where there can be none."""
    try:
        process = open_board(f"virtual:pytest-own-{next(_numbers)}")
    except BelayError as error:
        pytest.fail(f"belay: {error}", pytrace=False)
    with process:
        yield process


def seat_of(config: pytest.Config, session: DeviceSession) -> Seat:
    """Return what the fixture ``board`` has given. The fixture may be a project's own: then it fails."""
    for seat in bench_of(config).seats:
        if seat.session is session:
            return seat
    pytest.fail("belay: 'board_files' needs the fixture 'board' of belay_py, and here it is another one", pytrace=False)
