"""Which board a test gets, and what becomes of a test that gets none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py.devices.locks import FOLDER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run, Served

ONE = """
def test_one(board):
    assert board.evaluate("6 * 7") == 42
"""
VIRTUAL = """
import pytest

@pytest.mark.belay_board(virtual=True)
def test_anywhere(board):
    assert board.evaluate("6 * 7") == 42

@pytest.mark.belay_board(virtual=False)
def test_hardware(board):
    raise AssertionError

def test_either(board):
    assert board.evaluate("6 * 7") == 42
"""


def test_without_a_board_tests_are_skipped_with_the_reason(run: Callable[..., Run]) -> None:
    ran = run(VIRTUAL)
    assert ran.outcomes["test_anywhere"] == "passed"
    for name in ("test_hardware", "test_either"):
        assert ran.outcomes[name].startswith("skipped: belay: no board: there is none: plug one in, name one with")


def test_a_board_that_is_named_and_absent_skips_its_tests(run: Callable[..., Run]) -> None:
    outcome = run(ONE, "--belay-port=/dev/ttyNONE").outcomes["test_one"]
    assert outcome.startswith("skipped: belay: no board: there is no /dev/ttyNONE")
    assert not [*Path(os.environ[FOLDER_VARIABLE]).glob("*ttyNONE*")]  # nobody could have it


@pytest.mark.parametrize("arguments", [(), ("--belay-port=/dev/ttyNONE",)])
def test_a_board_that_is_required_and_absent_is_an_error(arguments: tuple[str, ...], run: Callable[..., Run]) -> None:
    ran = run(ONE, "--belay-require", *arguments)
    assert ran.ret == pytest.ExitCode.TESTS_FAILED
    assert "belay: no board, and --belay-require: there is no" in ran.outcomes["test_one"]


@pytest.mark.parametrize("how", ["option", "variable", "ini"])
def test_a_port_is_named_in_three_ways(
    how: str, run: Callable[..., Run], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "variable":
        monkeypatch.setenv("BELAY_PORT", "virtual:")
    if how == "ini":
        pytester.makeini("[pytest]\nbelay_port =\n    virtual:\n")
    ran = run(ONE, *(("--belay-port=virtual:",) if how == "option" else ()))
    assert ran.outcomes == {"test_one": "passed"}


def test_the_command_line_goes_before_the_environment_and_that_before_the_ini_file(
    run: Callable[..., Run], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nbelay_port = /dev/ttyINI\n")
    assert "/dev/ttyINI" in run(ONE).outcomes["test_one"]
    monkeypatch.setenv("BELAY_PORT", "/dev/ttyENV")
    assert "/dev/ttyENV" in run(ONE).outcomes["test_one"]
    assert "/dev/ttyCLI" in run(ONE, "--belay-port=/dev/ttyCLI").outcomes["test_one"]


def test_the_virtual_board_stands_in_where_the_options_say_so(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BELAY_VIRTUAL", "yes")
    ran = run(VIRTUAL, "--belay-port=/dev/ttyNONE")
    assert ran.outcomes["test_either"] == "passed"
    assert ran.outcomes["test_hardware"].startswith("skipped: belay: no board: there is no /dev/ttyNONE")


SETTINGS = """
[session]
operation_timeout = 7

[devices.left]
port = "virtual:left"
tags = ["arm"]

[devices.right]
port = "virtual:right"
tags = ["arm", "motor"]
"""
TAGS = """
import pytest

def test_name(board):
    print("it is", board.device_id, board.options.operation_timeout)
    assert board.device_id == "right"

@pytest.mark.belay_board(tags={"motor"})
class TestMotor:
    @pytest.mark.belay_board(tags="arm")
    def test_tags(self, board):
        assert board.device_id == "right"
        assert board.options.operation_timeout == 7

@pytest.mark.belay_board(tags={"wheel"})
def test_no_such_tag(board):
    raise AssertionError
"""


def test_boards_of_the_settings_have_names_and_tags(run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    (pytester.path / "belay.toml").write_text(SETTINGS)
    ran = run(TAGS)
    assert "it is left 7" in ran.stdout
    assert ran.outcomes["test_tags"] == "passed"
    assert "no board that fits: left has no tag 'wheel'; right has no tag 'wheel'" in ran.outcomes["test_no_such_tag"]
    (pytester.path / "belay.toml").rename(pytester.path / "bench.toml")
    assert run(TAGS, "--belay-config=bench.toml", "--belay-board=right").outcomes["test_name"] == "passed"


CAPS = """
import pytest

@pytest.mark.belay_board(caps={"machine.Pin", "raw_paste"}, implementation="micropython")
def test_has(board):
    assert board.evaluate("1") == 1

@pytest.mark.belay_board(caps="network")
def test_lacks(board):
    raise AssertionError

@pytest.mark.belay_board(caps="machine.PWM")
def test_lacks_a_part(board):
    raise AssertionError

@pytest.mark.belay_board(implementation="circuitpython")
def test_other(board):
    raise AssertionError
"""


def test_a_board_that_does_not_fit_skips_the_test_also_where_one_is_required(run: Callable[..., Run]) -> None:
    outcomes = run(CAPS, "--belay-port=virtual:", "--belay-require").outcomes
    assert outcomes["test_has"] == "passed"
    assert "skipped: belay: no board that fits: virtual:pytest-1 lacks 'network'" in outcomes["test_lacks"]
    assert "lacks 'machine.PWM'" in outcomes["test_lacks_a_part"]
    assert "virtual:pytest-1 runs micropython, not circuitpython" in outcomes["test_other"]


WRONG_MARKERS = {
    "cap='network'": "belay_board has no 'cap'; did you mean 'caps'?",
    "'network'": "belay_board takes keywords only, such as caps='network'",
    "caps='a b'": "belay_board: caps has 'a b' in it",
    "count=0": "belay_board: count is 0",
    "reset='no'": "belay_board: reset is 'no'",
}


def test_a_wrong_marker_says_what_is_right(run: Callable[..., Run]) -> None:
    tests = [
        f"@pytest.mark.belay_board({marker})\ndef test_{number}(board): pass\n"
        for number, marker in enumerate(WRONG_MARKERS)
    ]
    outcomes = run("\n".join(("import pytest", *tests)), "--belay-port=virtual:").outcomes
    for outcome, said in zip(outcomes.values(), WRONG_MARKERS.values(), strict=True):
        assert said in outcome


@pytest.mark.parametrize(
    ("argument", "variable", "said"),
    [
        ("--belay-board-scope=tests", None, "--belay-board-scope is 'tests'; it must be one of function, class"),
        ("--belay-board=nobody", None, "--belay-board: there is no device 'nobody'; the settings name no device"),
        ("--belay-config=none.toml", None, "none.toml is not there"),
        ("", ("BELAY_REQUIRE", "perhaps"), "BELAY_REQUIRE is 'perhaps'; it must be yes or no"),
        ("--belay-log-dir=test_it.py/logs", None, "--belay-log-dir: test_it.py/logs cannot be made"),
    ],
)
def test_a_wrong_option_says_what_is_right(
    argument: str, variable: tuple[str, str] | None, said: str, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(*variable)
    ran = run(ONE, *filter(None, [argument]))
    assert ran.ret != pytest.ExitCode.OK
    assert said in ran.stdout + ran.stderr
    assert "INTERNALERROR" not in ran.stdout + ran.stderr


COMING_BACK = """
import os
from pathlib import Path
import pytest
from belay_py import DeviceNotFound

def test_it_goes(board):
    board.execute("x = 1")
    os.rename(board.port, board.port + ".away")
    with pytest.raises(DeviceNotFound):
        board.reconnect()

def test_it_is_away(board):
    raise AssertionError

def test_somebody_plugs_it_in():
    [away] = Path(os.environ["LINKS"]).glob("*.away")
    away.rename(away.with_suffix(""))

def test_it_is_back(board):
    assert board.evaluate("'x' in globals()") is False
"""


def test_a_board_that_comes_back_is_used_again(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKS", str(tmp_path))
    [board] = serve(1)
    outcomes = run(COMING_BACK, f"--belay-port={board.port}").outcomes
    assert outcomes.pop("test_it_is_away").startswith(f"skipped: belay: no board: {board.port} was lost: there is no")
    assert set(outcomes.values()) == {"passed"}, outcomes


def test_a_board_that_is_lost_is_an_error_where_one_is_required(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKS", str(tmp_path))
    [board] = serve(1)
    outcome = run(COMING_BACK, f"--belay-port={board.port}", "--belay-require").outcomes["test_it_is_away"]
    assert f"belay: no board, and --belay-require: {board.port} was lost" in outcome
