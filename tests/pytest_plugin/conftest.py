"""Pytests of their own, which load the plugin by its entry point, and boards that several processes can reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from belay_py.devices.locks import FOLDER_VARIABLE
from belay_py.virtual.artifact import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
OTHERS = ("asyncio", "hypothesispytest", "xdist", "xdist.looponfail", "anyio", "platformdirs")
"""Plugins that may be installed here. They take longer to load than most of these tests."""
CACHE = cache_folder()
"""Found before `pytester` moves the home folder."""


@pytest.fixture(scope="session")
def entry_point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin's entry point, for environments that were made before there was one."""
    folder = tmp_path_factory.mktemp("entry_point")
    about = folder / "belay_py_under_test-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: belay_py_under_test\nVersion: 0\n")
    (about / "entry_points.txt").write_text("[pytest11]\nbelay = belay_py.pytest_plugin\n")
    return folder


class Run:
    """How one pytest ended: each test's outcome, and what was printed."""

    def __init__(self, result: pytest.RunResult, report: Path) -> None:
        self.ret = result.ret
        self.stdout = result.stdout.str()
        self.stderr = result.stderr.str()
        self.cases = [*ET.parse(report).iter("testcase")] if report.exists() else []

    @property
    def outcomes(self) -> dict[str, str]:
        """What became of each test; of one that failed, was skipped or could not begin, with its message."""
        return {case.get("name", ""): _outcome(case) for case in self.cases}

    def properties(self, name: str) -> dict[str, str]:
        """A test's properties in the report."""
        [case] = (case for case in self.cases if case.get("name") == name)
        return {one.get("name", ""): one.get("value", "") for one in case.iter("property")}


def _outcome(case: ET.Element) -> str:
    for kind in ("error", "failure", "skipped"):
        found = case.find(kind)
        if found is not None:
            return f"{kind}: {found.get('message')} {found.text or ''}"
    return "passed"


@pytest.fixture
def run(pytester: pytest.Pytester, entry_point: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run a pytest of its own on a test file's text."""
    for variable in [name for name in os.environ if name.startswith("BELAY_") and name != FOLDER_VARIABLE]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("BELAY_CACHE_DIR", str(CACHE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(entry_point), os.environ.get("PYTHONPATH", ""))))
    # The pytest around may be a worker of pytest-xdist, or be given options of its own.
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)

    def start(text: str, *arguments: str | Path, plugins: tuple[str, ...] = ()) -> Run:
        pytester.makepyfile(test_it=text)
        report = pytester.path / "report.xml"
        report.unlink(missing_ok=True)
        without = [f"-pno:{name}" for name in OTHERS if name not in plugins]
        result = pytester.runpytest_subprocess(*without, f"--junitxml={report}", *arguments, timeout=120)
        return Run(result, report)

    return start


class Served:
    """A virtual board that ``belay-py virtual`` serves at a link, for any process."""

    def __init__(self, link: Path) -> None:
        self.port = str(link)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "belay_py", "virtual", "--link", self.port],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "BELAY_CACHE_DIR": str(CACHE)},
        )

    def wait(self) -> None:
        """Wait until it is there."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == self.port

    def unplug(self) -> None:
        """End the board, and its port with it."""
        self.process.terminate()
        self.process.communicate(timeout=60)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[int], list[Served]]]:
    """Serve so many boards, until the test ends."""
    boards: list[Served] = []

    def start(count: int) -> list[Served]:
        boards.extend(Served(tmp_path / f"board{number}") for number in range(count))
        for board in boards:
            board.wait()
        return boards

    yield start
    for board in boards:
        board.unplug()
