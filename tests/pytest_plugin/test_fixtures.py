"""The other fixtures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run, Served

SEVERAL = """
import pytest

@pytest.mark.belay_board(count=2)
def test_two(boards):
    one, two = boards
    one.execute("x = 1")
    assert two.evaluate("'x' in globals()") is False

def test_all(boards):
    assert len(boards) == 3
    assert all(board.evaluate("'x' in globals()") is False for board in boards)

def test_one_and_the_others(board, boards):
    assert len(boards) == 2
    assert board.device_id not in [other.device_id for other in boards]

@pytest.mark.belay_board(count=4)
def test_too_many(boards):
    raise AssertionError

@pytest.mark.belay_board(count=4, virtual=True)
def test_virtual_ones_stand_in(boards):
    assert len(boards) == 4

@pytest.mark.belay_board(virtual=True)
def test_a_virtual_one_stands_in_for_each(board, boards):
    assert board.device_id not in [other.device_id for other in boards]

def test_the_manager_has_them(board, board_manager):
    assert board_manager.get(board.device_id) is not None
    assert len(board_manager) >= 3
"""


def test_several_boards(run: Callable[..., Run]) -> None:
    outcomes = run(SEVERAL, *["--belay-port=virtual:"] * 3).outcomes
    assert outcomes.pop("test_too_many").startswith("skipped: belay: 3 of 4 boards: plug one in")
    assert set(outcomes.values()) == {"passed"}, outcomes


def test_virtual_boards_stand_in_only_for_what_is_missing(run: Callable[..., Run]) -> None:
    text = "def test_all(boards): assert len(boards) == 1"
    assert run(text, "--belay-virtual", "--belay-port=virtual:").outcomes == {"test_all": "passed"}
    assert run(text, "--belay-virtual").outcomes == {"test_all": "passed"}


PLUG = """
import pytest
from belay_py import BelayError

def test_plug(virtual_board, board):
    virtual_board.set_adc(3, 1234)
    assert board.port == virtual_board.port
    assert board.evaluate("__import__('machine').ADC(3).read_u16()") == 1234
    virtual_board.unplug()
    with pytest.raises(BelayError, match="closed the connection"):
        board.execute("pass")
    virtual_board.replug()
    board.connect()
    assert board.evaluate("1") == 1

def test_alone(virtual_board):
    assert virtual_board.is_running
"""


def test_the_plug_of_a_virtual_board_is_held(run: Callable[..., Run]) -> None:
    ran = run(PLUG)
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout
    wide = run(PLUG, "--belay-board-scope=module").outcomes
    assert "'virtual_board' is one test's, and 'board' is here for a module" in wide["test_plug"]


def test_a_fixture_of_the_project_goes_before_that_of_the_plugin(
    run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef board(): return 'mine'\n")
    outcomes = run(
        "def test_mine(board): assert board == 'mine'\ndef test_files(board_files): pass", "--belay-port=virtual:"
    ).outcomes
    assert outcomes["test_mine"] == "passed"
    assert "'board_files' needs the fixture 'board' of belay_py" in outcomes["test_files"]


WRAPPED = """
import unittest
import pytest

@pytest.fixture(params=[6, 7])
def sensor(board, request):
    board.execute(f"reading = {request.param}")
    return board

def test_a_fixture_of_the_project(sensor, board):
    assert sensor is board
    assert board.evaluate("reading") in (6, 7)

@pytest.mark.parametrize("number", [1, 2])
def test_parameters(board, number):
    assert board.evaluate(f"'x' in globals()") is False
    assert board.evaluate(f"{number} + 1") == number + 1

@pytest.mark.parametrize("kind", [pytest.param("any"), pytest.param("wheel", marks=pytest.mark.belay_board(tags="w"))])
def test_markers_of_parameters(board, kind):
    assert kind == "any"

@pytest.mark.usefixtures("board")
class TestWithout(unittest.TestCase):
    def test_it_is_there(self):
        pass

class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _board(self, board):
        self.board = board

    def test_it_is_its_own(self):
        assert self.board.evaluate("'x' in globals()") is False
        self.board.execute("x = 1")

    def test_it_is_clean(self):
        assert self.board.evaluate("'x' in globals()") is False
"""


def test_fixtures_and_classes_of_a_project_wrap_the_board(run: Callable[..., Run]) -> None:
    ran = run(WRAPPED, "--belay-port=virtual:")
    assert "has no tag 'w'" in ran.outcomes.pop("test_markers_of_parameters[wheel]")
    assert len(ran.outcomes) == 9, ran.stdout
    kept = {name: outcome for name, outcome in ran.outcomes.items() if not name.endswith("[wheel]")}
    assert set(kept.values()) == {"passed"}, ran.stdout
    assert ran.properties("test_it_is_there")["belay_board"] == "virtual:pytest-1"


OWN_CHILDREN = """
from pathlib import Path

def test_no_process(board):
    assert board.evaluate("6 * 7") == 42
    assert [file.read_text() for file in Path("/proc/self/task").glob("*/children") if file.read_text()] == []
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of children")
def test_the_plugin_starts_no_process_beside_pytest(
    run: Callable[..., Run], serve: Callable[[int], list[Served]]
) -> None:
    [board] = serve(1)
    assert run(OWN_CHILDREN, f"--belay-port={board.port}").outcomes == {"test_no_process": "passed"}
