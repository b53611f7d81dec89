"""What reports say of boards: their identity in JUnit's properties, and with a failure what they were told and said."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from belay_py.errors import BelayError
from belay_py.pytest_plugin.refusals import Refusal, give_up
from belay_py.pytest_plugin.transcript import transcript

if TYPE_CHECKING:
    from collections.abc import Generator

    from belay_py.pytest_plugin.bench import Bench
    from belay_py.pytest_plugin.seats import Seat
    from belay_py.pytest_plugin.traces import Trace


_PACKAGE: Final = Path(__file__).parents[1]


class Reporter:
    """Hooks that are there once a test has asked for a board."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._had: dict[str, Trace] = {}
        """The boards that the present test has, or had."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Another test begins. It is skipped if the board that it shares with earlier ones was lost."""
        self._had.clear()
        self._bench.traces.begin_test()
        for seat in self._seats_of(item):
            try:
                seat.recover()
            except BelayError as error:
                lost = Refusal(seat.candidate.name, "lost", str(error))
                give_up([lost], require=self._bench.choices.require, found=0, count=1)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add to each report of a test what its boards are, and to a failure what they did."""
        for seat in self._seats_of(item):
            if seat.candidate.name not in self._had:
                self._had[seat.candidate.name] = seat.trace
                known = item.user_properties  # from its first run, if a plugin runs it again
                known.extend(one for one in _properties(seat) if one not in known)
        # A timeout of pytest-timeout fails the test wherever it is.
        if call.excinfo is not None and isinstance(call.excinfo.value, (BelayError, pytest.fail.Exception)):
            _hide_ours(call.excinfo.value)
        report = yield
        if report.failed:
            for name, trace in self._had.items():
                _show(report, f"board {name}", transcript(trace.of_test()) or "(nothing was executed)")
        if call.when == "teardown":
            self._bench.traces.write(item.nodeid, sorted(self._had))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        """Give all boards back, after the last fixture has ended. Workers of pytest-xdist are not unconfigured."""
        try:
            return (yield)
        finally:
            self._bench.close()

    def _seats_of(self, item: pytest.Item) -> list[Seat]:
        # What is not kept for longer is the present test's, also what it has asked for by `request.getfixturevalue`.
        names = (None, *getattr(item, "fixturenames", ()))
        return [seat for seat in self._bench.seats if seat.kept_by in names]


def _show(report: pytest.TestReport, title: str, text: str) -> None:
    """Add a section to a failure itself, which is what JUnit reports have of it; or beside it, if it is only text."""
    add = getattr(report.longrepr, "addsection", None)
    if add is None:
        report.sections.append((title, text))
    else:
        add(title, text)


def _hide_ours(error: BaseException | None) -> None:
    """A failure ends at the line of the test that made it, and there a debugger stops: the way from there helps nobody.

    This is the local variable by which pytest and its debugger leave frames out.
    """
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if _PACKAGE in Path(frame.f_code.co_filename).parents:
                frame.f_locals["__tracebackhide__"] = True
        error = error.__cause__


def _properties(seat: Seat) -> list[tuple[str, str]]:
    info = seat.info
    version = ".".join(map(str, info.version))
    found = {
        "belay_board": seat.candidate.name,
        "belay_board_id": info.unique_id,
        "belay_firmware": f"{info.implementation} {version}".strip(),
        "belay_machine": info.machine,
        "belay_port": seat.candidate.options.port,
    }
    return [(name, value) for name, value in found.items() if value]
