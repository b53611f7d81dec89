"""The fixture ``async_board``, with the plugins that run asynchronous tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

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
        plugins=("asyncio",),
    )
    outcomes = ran.outcomes
    assert outcomes.pop("test_second").startswith("failure: ValueError: as it should")
    assert outcomes == dict.fromkeys(("test_first", "test_own", "test_blocking"), "passed"), ran.stdout


@pytest.mark.parametrize("alone", [True, False])
def test_asynchronous_tests_of_anyio(alone: bool, run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    ran = run(
        ASYNCHRONOUS.format(mark="@pytest.mark.anyio"),
        "--belay-port=virtual:",
        *(() if alone else ("-oasyncio_default_fixture_loop_scope=function",)),
        plugins=("anyio",) if alone else ("anyio", "asyncio"),
    )
    outcomes = ran.outcomes
    assert outcomes.pop("test_second").startswith("failure: ValueError: as it should")
    assert outcomes == dict.fromkeys(("test_first", "test_own", "test_blocking"), "passed"), ran.stdout


LOOPS = """
import asyncio
import pytest
import pytest_asyncio

seen = set()

@pytest_asyncio.fixture(loop_scope="session")
async def prepared(async_board):
    await async_board.execute("x = 1")
    return async_board

@pytest.mark.asyncio(loop_scope="session")
async def test_session(prepared):
    assert await prepared.evaluate("x") == 1
    seen.add(asyncio.get_running_loop())

@pytest.mark.asyncio(loop_scope="session")
async def test_session_again(async_board):
    assert await async_board.evaluate("'x' in globals()") is False
    assert asyncio.get_running_loop() in seen

@pytest.mark.asyncio(loop_scope="module")
async def test_module(async_board):
    assert await async_board.evaluate("1") == 1
    assert asyncio.get_running_loop() not in seen

@pytest.mark.asyncio
async def test_default(async_board):
    assert await async_board.evaluate("1") == 1
"""


@pytest.mark.parametrize("tests", ["function", "session"])
@pytest.mark.parametrize("fixtures", ["function", "session"])
def test_the_board_is_of_the_tests_loop_whatever_its_scope(fixtures: str, tests: str, run: Callable[..., Run]) -> None:
    ran = run(
        LOOPS,
        "--belay-port=virtual:",
        f"-oasyncio_default_fixture_loop_scope={fixtures}",
        f"-oasyncio_default_test_loop_scope={tests}",
        plugins=("asyncio",),
    )
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout
    assert len(ran.outcomes) == 4


OWN = """
import pytest

@pytest.fixture
async def async_board(async_board):
    await async_board.execute("x = 1")
    return async_board

@pytest.mark.anyio
async def test_own(async_board):
    assert await async_board.evaluate("x") == 1
"""


def test_an_async_board_of_the_projects_own_goes_before_the_plugins(
    run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    ran = run(
        OWN,
        "--belay-port=virtual:",
        "-oasyncio_default_fixture_loop_scope=function",
        plugins=("anyio", "asyncio"),
    )
    assert ran.outcomes == {"test_own": "passed"}, ran.stdout


WIDE = """
import pytest

{mark}
class TestTogether:
    async def test_first(self, board):
        board.execute("x = 1")

    async def test_second(self, board, async_board):
        assert board.evaluate("x") == 1
        assert await async_board.evaluate("'x' in globals()") is False
        assert board.device_id != async_board.device_id
"""


@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_a_board_of_a_class_in_asynchronous_tests(
    plugin: str, run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")
    ran = run(
        WIDE.format(mark=f"@pytest.mark.{plugin}"),
        *["--belay-port=virtual:"] * 2,
        "--belay-board-scope=class",
        *(["-oasyncio_default_fixture_loop_scope=function"] if plugin == "asyncio" else []),
        plugins=(plugin,),
    )
    assert ran.outcomes == {"test_first": "passed", "test_second": "passed"}, ran.stdout


def test_on_trio_it_says_what_it_needs(run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'trio'\n")
    test = "import pytest\n@pytest.mark.anyio\nasync def test_it({}): pass\n"
    outcome = run(test.format("async_board"), "--belay-port=virtual:", plugins=("anyio",)).outcomes["test_it"]
    assert "belay: 'async_board' needs asyncio: have the fixture 'anyio_backend' return 'asyncio'" in outcome
    assert "RuntimeError" not in outcome
    assert run(test.format("board"), "--belay-port=virtual:", plugins=("anyio",)).outcomes == {"test_it": "passed"}
