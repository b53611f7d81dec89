"""What reports say of boards: their identity in JUnit's properties, and with a failure what they were told and said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin.transcript import transcript

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest import CallInfo, Item, TestReport

    from belay_py.pytest_plugin.bench import Bench
    from belay_py.pytest_plugin.seats import Seat


class Reporter:
    """Hooks that are there once a test has asked for a board."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._told: set[str] = set()
        """The boards of the present test that are in its properties."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Another test begins."""
        self._told.clear()
        self._bench.traces.begin_test()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: Item, call: CallInfo[None]
    ) -> Generator[None, TestReport, TestReport]:
        """Add to each report of a test what its boards are, and to a failure what they did."""
        seats = self._seats_of(item)
        for seat in seats:
            if seat.candidate.name not in self._told:
                self._told.add(seat.candidate.name)
                item.user_properties.extend(_properties(seat))
        report = yield
        if report.failed and call.when != "teardown":
            for seat in seats:
                shown = transcript(seat.trace.of_test())
                report.sections.append((f"board {seat.candidate.name}", shown or "(nothing was executed)"))
        if call.when == "teardown":
            self._bench.traces.write(item.nodeid, sorted(self._told))
        return report

    def _seats_of(self, item: Item) -> list[Seat]:
        names = getattr(item, "fixturenames", ())
        return [seat for seat in self._bench.seats if seat.fixture in names]


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
