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
    "caps=5": "belay_board: caps is 5; it must be a name, or several",
    "tags=[1]": "belay_board: tags is [1]; it must be a name, or several",
    "count=0": "belay_board: count is 0",
    "reset='no'": "belay_board: reset is 'no'",
    "virtual='yes'": "belay_board: virtual is 'yes'; it must be True or False",
    "implementation='Micropython'": "belay_board: implementation is 'Micropython'; it must be 'micropython' or ",
}


def test_a_wrong_marker_says_what_is_right(run: Callable[..., Run]) -> None:
    tests = [
        f"@pytest.mark.belay_board({marker})\ndef test_{number}(board): pass\n"
        for number, marker in enumerate(WRONG_MARKERS)
    ]
    outcomes = run("\n".join(("import pytest", *tests)), "--belay-port=virtual:").outcomes
    for outcome, said in zip(outcomes.values(), WRONG_MARKERS.values(), strict=True):
        assert f"belay: {said}" in outcome
        assert "Traceback" not in outcome
        assert "iter_markers" not in outcome  # our own code helps nobody


@pytest.mark.parametrize(
    ("argument", "variable", "said"),
    [
        ("--belay-board-scope=tests", None, "--belay-board-scope is 'tests'; it must be one of function, class"),
        ("--belay-board=nobody", None, "--belay-board: there is no device 'nobody'; the settings name no device"),
        ("--belay-port=", None, 'port is empty; name one, such as "/dev/ttyACM0", or use "virtual:"'),
        ("--belay-config=none.toml", None, "none.toml is not there"),
        ("", ("BELAY_REQUIRE", "perhaps"), "BELAY_REQUIRE is 'perhaps'; it must be yes or no"),
        (
            "--belay-log-dir=test_it.py/logs",
            None,
            "--belay-log-dir: test_it.py/logs cannot be written to (Not a directory)",
        ),
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
    assert not [word for word in ("INTERNALERROR", "Error(") if word in ran.stdout + ran.stderr]


@pytest.mark.parametrize("argument", ["--belay-board=nobody", "--belay-config=none.toml"])
def test_a_wrong_option_ends_a_run_of_as_many_workers_as_boards_at_once(argument: str, run: Callable[..., Run]) -> None:
    ran = run(ONE, argument, "-nauto", plugins=("xdist",))
    assert ran.ret == pytest.ExitCode.USAGE_ERROR
    assert argument.partition("=")[2] in ran.stderr
    assert "INTERNALERROR" not in ran.stdout + ran.stderr


WRONG_PORTS = {
    "ttyACM0": "there is no ttyACM0, nor any other serial port: plug a board in, or use virtual:",
    "test_it.py": "test_it.py is a regular file, not a serial port: name one such as /dev/ttyACM0",
    "virtua:": "cannot open 'virtua:': ",
    "virtual:?rin=3": "a virtual board has no option 'rin'; ",
    "usb:zz": "'usb:zz' is no USB port: write usb:VID:PID or usb:VID:PID:SERIAL",
    "/dev/" + "x" * 300: "there is no /dev/xxx",
    "socket://127.0.0.1:1": "cannot connect to socket://127.0.0.1:1",
}


def test_a_port_that_is_wrong_is_named_with_what_to_do(run: Callable[..., Run]) -> None:
    tests = "def test_one(boards): pass"
    outcome = run(tests, *(f"--belay-port={port}" for port in WRONG_PORTS)).outcomes["test_one"]
    assert outcome.startswith("skipped: belay: no board: ")
    for said in WRONG_PORTS.values():
        assert said in outcome


BOTH = """
import pytest

def test_both(boards):
    assert [board.device_id for board in boards] == ["left", "virtual:there"]
"""


def test_ports_and_boards_of_the_settings_are_named_together(
    run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    (pytester.path / "belay.toml").write_text(SETTINGS)
    assert run(BOTH, "--belay-port=virtual:there", "--belay-board=left").outcomes == {"test_both": "passed"}


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


KEPT = """
import os
from pathlib import Path
from belay_py.sync import DeviceSession

def test_it_goes(board):
    board.execute("x = 1")
    board.disconnect()
    os.rename(board.port, board.port + ".away")

def test_it_is_away(board):
    raise AssertionError

def test_another(board):
    raise AssertionError

def test_somebody_plugs_it_in():
    [away] = Path(os.environ["LINKS"]).glob("*.away")
    away.rename(away.with_suffix(""))

def test_it_is_back_as_it_was(board):
    assert board.evaluate("x") == 1
    board.disconnect()
    with DeviceSession(board.port) as other:
        other.soft_reset()
        other.execute("y = __import__('builtins').len = None")

def test_it_has_restarted_and_is_clean(board):
    assert board.evaluate("'x' in globals() or 'y' in globals()") is False
    assert board.evaluate("len('ab')") == 2
"""


@pytest.mark.parametrize("scope", ["module", "session"])
def test_the_tests_that_are_left_for_a_lost_board_are_skipped_also_where_they_share_it(
    scope: str,
    run: Callable[..., Run],
    serve: Callable[[int], list[Served]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LINKS", str(tmp_path))
    [board] = serve(1)
    outcomes = run(KEPT, f"--belay-port={board.port}", f"--belay-board-scope={scope}").outcomes
    for name in ("test_it_is_away", "test_another"):
        assert outcomes.pop(name).startswith("skipped: "), outcomes
    assert set(outcomes.values()) == {"passed"}, outcomes
