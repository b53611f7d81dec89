"""One board for each worker of pytest-xdist, over processes, whatever becomes of workers and boards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin.claims import claim
from belay_py.pytest_plugin.traces import file_name
from belay_py.sync import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.devices.locks import PortLock

    from .conftest import Run, Served

XDIST = ("xdist",)
MANY = """
import pytest

@pytest.mark.parametrize("number", range(40))
def test_number(board, number, worker_id):
    assert board.evaluate("'x' in globals()") is False
    board.execute(f"x = {number}")
    assert board.evaluate("x") == number
"""
KILLED = """
import os, signal
import pytest

@pytest.mark.parametrize("number", range(40))
def test_number(board, number):
    board.execute(f"x = {number}")
    if number == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    assert board.evaluate("x") == number
"""
UNPLUGGED = """
import json, os, signal
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range(40))
def test_number(board, number):
    board.execute(f"x = {number}")
    if number == 17:
        os.kill(json.loads(Path("pids.json").read_text())[board.port], signal.SIGTERM)
        board.execute("while True: pass", timeout=600)
    assert board.evaluate("x") == number
"""

IN_TURN = """
import pytest

@pytest.mark.parametrize("number", range(6))
class TestInTurn:
    @pytest.mark.belay_board(tags="left")
    def test_left(self, board, number):
        assert board.device_id == "left"

    @pytest.mark.belay_board(tags="right")
    def test_right(self, board, number):
        assert board.device_id == "right"

    @pytest.mark.belay_board(count=2)
    def test_both(self, boards, number):
        assert len(boards) == 2
"""
SETTINGS = """
[devices.left]
port = "{}"
tags = ["left"]
[devices.right]
port = "{}"
tags = ["right"]
"""


TWO_FIXTURES = """
import pytest

@pytest.mark.parametrize("number", range(6))
@pytest.mark.belay_board(count=1)
def test_two(board, boards, number):
    assert board.device_id not in [other.device_id for other in boards]

@pytest.mark.parametrize("number", range(6))
def test_all(board, boards, number):
    assert len(boards) == 1

@pytest.fixture
def mine(boards):
    return boards

@pytest.mark.parametrize("number", range(2))
def test_wrapped(mine, board, number):
    assert [*mine] != [board]
"""


def ports(boards: list[Served]) -> list[str]:
    return [f"--belay-port={board.port}" for board in boards]


def are_free(boards: list[Served]) -> None:
    for board in boards:
        with DeviceSession(board.port) as session:
            assert session.evaluate("1") == 1


@pytest.mark.parametrize("workers", ["4", "auto"])
def test_each_worker_has_a_board_of_its_own(
    workers: str, run: Callable[..., Run], serve: Callable[[int], list[Served]]
) -> None:
    boards = serve(4)
    ran = run(MANY, "-n", workers, *ports(boards), plugins=XDIST)
    assert Counter(ran.outcomes.values()) == {"passed": 40}, ran.stdout
    used = {ran.properties(name)["belay_board"] for name in ran.outcomes}
    assert used == {board.port for board in boards}
    assert "4 workers [40 items]" in ran.stdout
    are_free(boards)


def test_a_worker_without_a_board_waits_for_one(run: Callable[..., Run], serve: Callable[[int], list[Served]]) -> None:
    boards = serve(1)
    ran = run(MANY, "-n2", *ports(boards), plugins=XDIST)
    assert Counter(ran.outcomes.values()) == {"passed": 40}, ran.stdout
    are_free(boards)


def test_the_board_of_a_worker_that_dies_goes_to_the_next_one(
    run: Callable[..., Run], serve: Callable[[int], list[Served]]
) -> None:
    boards = serve(4)
    ran = run(KILLED, "-n4", *ports(boards), plugins=XDIST)
    outcomes = ran.outcomes
    failed = [name for name, outcome in outcomes.items() if outcome != "passed"]
    assert len(failed) == 1, ran.stdout
    assert "crashed while running 'test_it.py::test_number[17]'" in outcomes[failed[0]]
    assert len(outcomes) == 40
    are_free(boards)


@pytest.mark.parametrize("count", [1, 4])
def test_when_a_board_is_unplugged_its_test_fails_and_the_rest_goes_elsewhere_or_is_skipped(
    count: int, run: Callable[..., Run], serve: Callable[[int], list[Served]], pytester: pytest.Pytester
) -> None:
    import json

    boards = serve(count)
    (pytester.path / "pids.json").write_text(json.dumps({board.port: board.process.pid for board in boards}))
    ran = run(UNPLUGGED, "-n", str(count), *ports(boards), plugins=XDIST)
    outcomes = ran.outcomes
    assert "OutcomeUnknown" in outcomes.pop("test_number[17]"), ran.stdout
    rest = Counter(outcome.partition(":")[0] for outcome in outcomes.values())
    assert rest == ({"passed": 39} if count == 4 else {"passed": 17, "skipped": 22}), ran.stdout
    if count == 1:
        assert f"skipped: belay: no board: {boards[0].port} was lost: " in outcomes["test_number[18]"]
    are_free([board for board in boards if board.process.poll() is None])


def test_a_board_that_somebody_else_has_is_an_error_after_a_while(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], pytester: pytest.Pytester
) -> None:
    boards = serve(1)
    (pytester.path / "belay.toml").write_text("lease_timeout = 0.3\n")
    with DeviceSession(boards[0].port):
        outcome = run("def test_one(board): pass", *ports(boards)).outcomes["test_one"]
    assert outcome.startswith("error: "), outcome
    assert f"belay: no board was free in time: {boards[0].port} is in use by" in outcome
    assert "end that, or wait" in outcome
    assert "workers" not in outcome


def test_a_board_that_other_tests_have_claimed_is_not_opened(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], pytester: pytest.Pytester
) -> None:
    boards = serve(2)
    (pytester.path / "belay.toml").write_text("lease_timeout = 0.3\n")
    lock = claim(str(Path(boards[0].port).resolve()))  # under another name, which means the same board
    text = "def test_one(board): print('it is', board.port)"
    try:
        outcome = run(text, *ports(boards[:1])).outcomes["test_one"]
        assert f"no board was free in time: {boards[0].port} is in use by the tests of " in outcome
        assert ": end them, or start no more workers than boards (-n auto)" in outcome
        (pytester.path / "belay.toml").unlink()
        assert f"it is {boards[1].port}" in run(text, "-s", *ports(boards)).stdout
    finally:
        lock.release()
    assert f"it is {boards[0].port}" in run(text, "-s", *ports(boards)).stdout


def test_workers_that_want_each_others_boards_take_turns(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], pytester: pytest.Pytester
) -> None:
    boards = serve(2)
    (pytester.path / "belay.toml").write_text(SETTINGS.format(*(board.port for board in boards)))
    ran = run(IN_TURN, "-n2", plugins=XDIST)
    assert Counter(ran.outcomes.values()) == {"passed": 18}, ran.stdout
    are_free(boards)


def opened(trace: Path) -> int:
    return trace.read_text().count('"opened"') if trace.exists() else 0


@pytest.mark.parametrize("hold", [claim, DeviceSession])
def test_a_board_is_not_opened_again_and_again_while_its_worker_waits_for_another_one(
    hold: Callable[[str], PortLock | DeviceSession],
    run: Callable[..., Run],
    serve: Callable[[int], list[Served]],
    pytester: pytest.Pytester,
) -> None:
    boards = serve(2)
    (pytester.path / "belay.toml").write_text("lease_timeout = 0.5\n")
    text = """
import pytest

def test_one(board): pass

@pytest.mark.belay_board(count=2)
def test_two(boards): pass
"""
    held = hold(boards[1].port)
    if isinstance(held, DeviceSession):
        held.connect()
    try:
        outcomes = run(text, "-n1", "--belay-log-dir=logs", *ports(boards), plugins=XDIST).outcomes
    finally:
        (held.close if isinstance(held, DeviceSession) else held.release)()
    assert outcomes["test_one"] == "passed"
    assert f"no board was free in time: {boards[1].port} is in use by" in outcomes["test_two"]
    assert opened(pytester.path / "logs" / f"gw0-{file_name(boards[0].port)}.jsonl") == 1
    are_free(boards)


def test_boards_that_a_test_has_by_several_fixtures_are_taken_in_one_go(
    run: Callable[..., Run], serve: Callable[[int], list[Served]]
) -> None:
    boards = serve(2)
    ran = run(TWO_FIXTURES, "-n2", *ports(boards), plugins=XDIST)
    assert Counter(ran.outcomes.values()) == {"passed": 14}, ran.stdout
    are_free(boards)


MINE = """
import pytest

class TestMine:
    @pytest.fixture
    def boards(self):
        return "mine"

    def test_one(self, board, boards):
        assert boards == "mine"

def test_all(boards):
    assert len(boards) == NUMBER
"""


@pytest.mark.parametrize("number", [1, 2])
def test_a_board_that_is_reserved_for_a_fixture_of_the_projects_own_is_given_back(
    number: int, run: Callable[..., Run]
) -> None:
    outcomes = run(MINE.replace("NUMBER", str(number)), *["--belay-port=virtual:"] * number).outcomes
    assert outcomes == {"test_one": "passed", "test_all": "passed"}
