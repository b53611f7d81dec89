"""What pytest itself chooses, repeats, lists and ends, and what the plugin leaves to others."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin import __all__ as fixtures
from belay_py.pytest_plugin.options import OPTIONS
from belay_py.sync import DeviceSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run, Served

CHOOSING = """
def test_a(board):
    assert board.evaluate("1") == 1

def test_b(board):
    assert board.evaluate("1") == 2

def test_c(board):
    assert board.evaluate("1") == 1
"""


def test_what_pytest_itself_chooses_and_repeats(run: Callable[..., Run]) -> None:
    assert [*run(CHOOSING, "--belay-port=virtual:", "-x").outcomes] == ["test_a", "test_b"]
    assert [*run(CHOOSING, "--belay-port=virtual:", "--lf").outcomes] == ["test_b"]
    ran = run(
        CHOOSING,
        "--belay-port=virtual:",
        *("-k", "test_c", "--import-mode=importlib", "-pno:cacheprovider", "--setup-show"),
    )
    assert ran.outcomes == {"test_c": "passed"}
    assert "SETUP    F board" in ran.stdout


def test_without_the_plugin_there_is_nothing_of_it(run: Callable[..., Run]) -> None:
    ran = run(CHOOSING, "-p", "no:belay")
    assert "fixture 'board' not found" in ran.outcomes["test_a"]


LISTING = """
def pytest_sessionfinish():
    import sys
    assert "belay_py.sync" not in sys.modules
"""


def test_to_list_tests_opens_no_board(run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytester.makeconftest(LISTING)
    ran = run(CHOOSING, "--belay-port=/dev/ttyNONE", "--belay-log-dir=logs", "--collect-only")
    assert ran.ret == pytest.ExitCode.OK
    assert "3 tests collected" in ran.stdout
    assert not (pytester.path / "logs").exists()


def test_the_options_and_the_fixtures_explain_themselves(run: Callable[..., Run]) -> None:
    helped = run("", "--help").stdout
    _, _, group = helped.partition("\nMicroPython boards (belay_py):\n")
    for option in OPTIONS:
        assert f"  {option.flag}" in group
        assert f"${option.variable}" in group
    listed = run("", "--fixtures", "-v").stdout
    for name in (*fixtures, "async_board"):
        _, found, doc = listed.partition(f"\n{name} ")
        assert found, listed
        assert "no docstring" not in doc.partition("\n\n")[0]


OTHER_PLUGIN = """
import pytest

def pytest_addoption(parser):
    for name in ("port", "board", "config", "require", "virtual", "scope", "log-dir"):
        parser.addoption(f"--{name}", default="theirs")
        parser.addini(name.replace("-", "_"), "theirs")

@pytest.fixture(params=["target", "port", "dut", "env", "serial", "shell"])
def name(request):
    return request.param
"""
OTHERS_NAMES = """
import pytest

def test_no_general_fixture(request, name):
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue(name)

def test_theirs(pytestconfig, board):
    assert pytestconfig.getoption("port") == pytestconfig.getoption("--board") == "theirs"
    assert board.port.startswith("virtual:")
"""


def test_names_of_other_plugins_are_left_to_them(run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytester.makeconftest(OTHER_PLUGIN)
    ran = run(OTHERS_NAMES, "--belay-port=virtual:")
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout
    assert len(ran.outcomes) == 7
    assert all(option.name.startswith("belay_") for option in OPTIONS)
    assert set(fixtures) == {"board", "board_files", "board_manager", "boards", "virtual_board"}


UNUSED = """
import sys

def test_nothing_is_loaded():
    ours = {name.removeprefix("belay_py.") for name in sys.modules if name.startswith("belay_py.")}
    assert ours == {"pytest_plugin", *(f"pytest_plugin.{name}" for name in ("asynchronous", "fixtures", "options"))}
    assert not {"serial", "transitions", "pydantic"} & {*sys.modules}
"""


def test_a_run_that_uses_no_board_loads_nothing_of_the_rest(run: Callable[..., Run]) -> None:
    assert run(UNUSED, "--belay-port=virtual:").outcomes == {"test_nothing_is_loaded": "passed"}


LOOPING = """
def test_loop(board):
    board.execute("x = 1")
    print("it runs", flush=True)
    board.execute("while True: pass", timeout=600)

def test_never():
    raise AssertionError
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_stops_the_board_and_gives_it_back(
    run: Callable[..., Run], serve: Callable[[int], list[Served]], pytester: pytest.Pytester
) -> None:
    run("")  # the environment is as it is for the others
    [board] = serve(1)
    pytester.makepyfile(test_it=LOOPING)
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s", "-pno:asyncio", f"--belay-port={board.port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with child:
        assert child.stdout is not None
        assert any("it runs" in line for line in child.stdout)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[0]
    assert child.returncode == pytest.ExitCode.INTERRUPTED, said
    assert "KeyboardInterrupt" in said
    assert "no tests ran" in said
    with DeviceSession(board.port) as session:
        assert session.evaluate("x") == 1
