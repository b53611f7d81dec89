"""The other fixtures, and the plugins that the plugin lives with."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from belay_py.sync import DeviceSession

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


ASYNCHRONOUS = """
import asyncio
import pytest

{mark}
async def test_first(async_board):
    await async_board.execute("x = 1")
    assert await asyncio.gather(async_board.evaluate("x"), async_board.evaluate("x + 1")) == [1, 2]

{mark}
async def test_second(async_board):
    assert await async_board.evaluate("'x' in globals()") is False
    raise ValueError("as it should")

{mark}
async def test_own(async_board, virtual_board):
    virtual_board.set_adc(3, 1234)
    assert await async_board.evaluate("__import__('machine').ADC(3).read_u16()") == 1234

def test_blocking(board):
    assert board.evaluate("'x' in globals()") is False
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_asynchronous_tests_of_pytest_asyncio(mode: str, run: Callable[..., Run]) -> None:
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    ran = run(
        ASYNCHRONOUS.format(mark=mark),
        "--belay-port=virtual:",
        f"--asyncio-mode={mode}",
        "-oasyncio_default_fixture_loop_scope=function",
        quiet=False,
    )
    outcomes = ran.outcomes
    assert outcomes.pop("test_second").startswith("failure: ValueError: as it should")
    assert outcomes == dict.fromkeys(("test_first", "test_own", "test_blocking"), "passed"), ran.stdout


@pytest.mark.parametrize("alone", [True, False])
def test_asynchronous_tests_of_anyio(alone: bool, run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytest.importorskip("anyio")
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    ran = run(
        ASYNCHRONOUS.format(mark="@pytest.mark.anyio"),
        "--belay-port=virtual:",
        *(() if alone else ("-oasyncio_default_fixture_loop_scope=function",)),
        quiet=alone,
    )
    outcomes = ran.outcomes
    assert outcomes.pop("test_second").startswith("failure: ValueError: as it should")
    assert outcomes == dict.fromkeys(("test_first", "test_own", "test_blocking"), "passed"), ran.stdout


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
    assert run(CHOOSING, "--belay-port=virtual:", "-k", "test_c").outcomes == {"test_c": "passed"}


def test_without_the_plugin_there_is_nothing_of_it(run: Callable[..., Run]) -> None:
    ran = run(CHOOSING, "-p", "no:belay")
    assert "fixture 'board' not found" in ran.outcomes["test_a"]


def test_a_fixture_of_the_project_goes_before_that_of_the_plugin(
    run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef board(): return 'mine'\n")
    outcomes = run(
        "def test_mine(board): assert board == 'mine'\ndef test_files(board_files): pass", "--belay-port=virtual:"
    ).outcomes
    assert outcomes["test_mine"] == "passed"
    assert "'board_files' needs the fixture 'board' of belay_py" in outcomes["test_files"]


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
