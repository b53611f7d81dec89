"""What the fixtures do: boards given for as long as a block runs."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Final

import pytest

from belay_py.errors import BelayError
from belay_py.pytest_plugin.bench import bench_of
from belay_py.pytest_plugin.candidates import Candidate
from belay_py.pytest_plugin.refusals import give_up
from belay_py.pytest_plugin.seats import release
from belay_py.pytest_plugin.wanted import wanted_by
from belay_py.virtual import BoardProcess, open_board

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.pytest_plugin.seats import Seat
    from belay_py.pytest_plugin.wanted import Wanted
    from belay_py.sync import DeviceSession

_numbers: Final = itertools.count(1)


@contextlib.contextmanager
def seated(request: pytest.FixtureRequest, fixture: str) -> Iterator[Seat]:
    """Give one board: that of ``virtual_board`` if the test has one, else any that fits."""
    own = _own(request)
    try:
        with _taken(request, fixture, own) as [seat]:
            yield seat
    finally:
        if own is not None:
            bench_of(request.config).forget(own)


@contextlib.contextmanager
def give_several(request: pytest.FixtureRequest, fixture: str) -> Iterator[tuple[DeviceSession, ...]]:
    """Give several boards: all of them, or none."""
    with _taken(request, fixture) as seats:
        yield tuple(seat.session for seat in seats)


@contextlib.contextmanager
def _taken(request: pytest.FixtureRequest, fixture: str, own: Candidate | None = None) -> Iterator[list[Seat]]:
    bench = bench_of(request.config)
    wanted = wanted_by(request.node)
    if own is None and request.scope == "function" and fixture not in bench.reserved:
        _reserve(request, wanted)
    seats = bench.reserved.pop(fixture, None)
    if seats is None:
        count = wanted.count if fixture == "boards" else 1
        seats = bench.take(wanted, count or 1, count, only=own)
    if request.scope != "function":
        seats[0].kept_by = fixture
    try:
        yield seats
    finally:
        release(seats)
        while bench.reserved:  # for a fixture that is the project's own, or was not reached
            release(bench.reserved.popitem()[1])


def _reserve(request: pytest.FixtureRequest, wanted: Wanted) -> None:
    """Take the boards of all fixtures of a test in one go, or none.

    Two workers that have one board each, and need two, would wait for each other.
    """
    bench = bench_of(request.config)
    singles = [
        name
        for name in ("board", "async_board")
        if name in request.fixturenames
        and "virtual_board" not in request.fixturenames
        and (name != "board" or bench.choices.scope == "function")
    ]
    if not singles or len(singles) + ("boards" in request.fixturenames) < 2:
        return
    if any(seat.kept_by is None for seat in bench.seats):
        return  # it was tried for the first of them
    several = (wanted.count or 1) if "boards" in request.fixturenames else 0
    most = None if several and wanted.count is None else len(singles) + several
    least = len(singles) + several
    seats, refusals = bench.gather(wanted, least, most)
    if len(seats) < least:
        if any(refusal.kind == "busy" for refusal in refusals):
            give_up(refusals, require=bench.choices.require, found=len(seats), count=least)
        return  # each fixture says for itself what it lacks
    for name in singles:
        bench.reserved[name] = [seats.pop(0)]
    if several:
        bench.reserved["boards"] = seats


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
