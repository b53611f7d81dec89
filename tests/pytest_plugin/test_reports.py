"""What reports say of boards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py.pytest_plugin.traces import file_name
from belay_py.pytest_plugin.transcript import transcript
from belay_py.transports.tracing import read_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

FAILING = """
def test_before(board):
    board.execute("print('of another test')")

def test_assertion(board):
    board.execute("print('hello')")
    board.files.write_text("/a.txt", "a")
    assert board.evaluate("[1, 2]") == [3]

def test_device(board):
    board.execute('''
def f():
    return 1 / 0
print("before")
f()
''')

def test_passes(board):
    board.execute("print('nothing to see')")
"""
SHOWN = """\
>>> print('hello')
hello
>>> [1, 2]
[1, 2]
"""


def section(ran: Run, test: str) -> str:
    """What stands below the board's heading in the failure of a test."""
    _, _, failure = ran.stdout.partition(f" {test} __")
    _, _, rest = failure.partition("- board virtual:pytest-1 -")
    return rest.partition("\n")[2].partition("\n__")[0].partition("\n--")[0]


def test_a_failure_shows_what_the_board_was_told_and_said(run: Callable[..., Run]) -> None:
    ran = run(FAILING, "--belay-port=virtual:")
    assert section(ran, "test_assertion") + "\n" == SHOWN
    assert "before\nTraceback (most recent call last):" in section(ran, "test_device")
    assert "nothing to see" not in ran.stdout


WHENEVER = r"""
import unittest
import pytest

@pytest.fixture
def fails_at_setup(board):
    board.execute("print('at setup')")
    raise RuntimeError

@pytest.fixture
def fails_at_teardown(board):
    yield board
    board.execute("print('at teardown')")
    raise RuntimeError

def test_setup(fails_at_setup):
    pass

def test_teardown(fails_at_teardown):
    fails_at_teardown.execute("print('in the test')")

def test_asked_for_later(request):
    request.getfixturevalue("board").execute("print('later')")
    raise ValueError

def test_colours(board):
    board.execute(r"print('\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 \r \x9b')")
    raise ValueError

def test_of_its_own_accord(board, board_files):
    board_files.write("/boot.py", "print('booting')")
    board.soft_reset()
    board.execute("print('afterwards')")
    raise ValueError

def test_long(board):
    board.execute("for i in range(1000): print('line', i)\nraise ValueError('the end')")

class TestCase(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _board(self, board):
        self.board = board

    def test_unittest(self):
        self.board.execute("print('in a class')")
        self.assertEqual(1, 2)
"""
REPORTED = {
    "test_setup": ">>> print('at setup')\nat setup\n",
    "test_teardown": ">>> print('in the test')\nin the test\n>>> print('at teardown')\nat teardown\n",
    "test_asked_for_later": ">>> print('later')\nlater\n",
    "test_of_its_own_accord": "-\nbooting\n>>> print('afterwards')\nafterwards\n",
    "test_unittest": ">>> print('in a class')\nin a class\n",
}


@pytest.mark.parametrize("workers", [0, 1])
def test_whenever_a_test_fails_its_report_shows_the_board_in_junit_too(workers: int, run: Callable[..., Run]) -> None:
    ran = run(WHENEVER, "--belay-port=virtual:", f"-n{workers}", plugins=("xdist",))
    for name, shown in REPORTED.items():
        assert "- board virtual:pytest-1 -" in ran.outcomes[name]
        assert shown in ran.outcomes[name] + "\n"
        assert shown in ran.stdout
        assert ran.properties(name)["belay_board"] == "virtual:pytest-1"
    _, _, coloured = ran.outcomes["test_colours"].partition("\n>>> print")
    assert coloured.partition("\n")[2] == r"red  \x00 \x0d \x9b"
    assert "\x1b" not in ran.stdout
    assert ran.outcomes["test_long"].endswith("\nValueError: the end")
    assert "\nline 1\n" in ran.outcomes["test_long"]
    assert "line 500" not in ran.outcomes["test_long"]


@pytest.mark.parametrize("raw_paste", ["refused", "absent"])
def test_a_board_without_raw_paste_mode_is_shown_as_well(raw_paste: str, run: Callable[..., Run]) -> None:
    ran = run(FAILING, f"--belay-port=virtual:?raw_paste={raw_paste}", "-k", "test_assertion")
    assert ran.outcomes["test_assertion"].endswith(f"-\n{SHOWN.rstrip()}")


UNREAD = """
from pathlib import Path

def test_nobody_reads(board):
    pieces = board.stream("for i in range(3000): print('line', i)")
    assert next(pieces)
    while b"line 2999" not in Path("logs", "virtual=here.jsonl").read_bytes():
        pass  # nobody reads, and it comes
"""


def test_what_nobody_reads_is_in_the_trace(run: Callable[..., Run]) -> None:
    ran = run(UNREAD, "--belay-port=virtual:here", "--belay-log-dir=logs")
    assert ran.outcomes == {"test_nobody_reads": "passed"}, ran.stdout


def test_an_error_of_the_board_ends_at_the_line_of_the_test(run: Callable[..., Run]) -> None:
    ran = run(FAILING, "--belay-port=virtual:")
    failure = ran.outcomes["test_device"]
    assert "test_it.py:10: ExecutionError" in failure
    assert "ZeroDivisionError: divide by zero" in failure
    assert "belay_py/s" not in failure
    outcomes = run("def test_file(board): board.files.read_bytes('/none')", "--belay-port=virtual:").outcomes
    assert "test_it.py:1: RemoteFileNotFound" in outcomes["test_file"]
    assert "belay_py/s" not in outcomes["test_file"]
    assert "belay_py/s" in run(FAILING, "--belay-port=virtual:", "--full-trace").outcomes["test_device"]


LATE = """
import signal
import pytest

def late(number, frame):
    __tracebackhide__ = True
    pytest.fail("too late")  # as pytest-timeout does it

def test_late(board):
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    board.execute("while True: pass", timeout=60)

def test_next(board):
    assert board.evaluate("1") == 1
"""


def test_a_test_that_is_failed_while_its_board_runs_code_ends_at_its_own_line(run: Callable[..., Run]) -> None:
    outcomes = run(LATE, "--belay-port=virtual:").outcomes
    assert "test_it.py:11: Failed" in outcomes["test_late"]
    assert "belay_py/s" not in outcomes["test_late"]
    assert outcomes["test_next"] == "passed"


LOOKER = """
import pdb

class Looker(pdb.Pdb):
    def cmdloop(self, intro=None):
        board = self.curframe.f_locals["board"]
        print("stands in", self.curframe.f_code.co_name, "and the board says", board.evaluate("6 * 7"))
"""


def test_a_debugger_stops_at_the_line_of_the_test(run: Callable[..., Run], pytester: pytest.Pytester) -> None:
    pytester.makepyfile(looker=LOOKER)
    ran = run(FAILING, "--belay-port=virtual:", "--pdb", "--pdbcls=looker:Looker")
    assert "stands in test_assertion and the board says 42" in ran.stdout
    assert "stands in test_device and the board says 42" in ran.stdout, ran.stdout
    assert ran.outcomes["test_passes"] == "passed"


def test_junit_knows_the_board(run: Callable[..., Run]) -> None:
    ran = run(FAILING + "\ndef test_none(): pass\n", "--belay-port=virtual:here")
    about = ran.properties("test_passes")
    assert about.pop("belay_board_id")
    assert about == {
        "belay_board": "virtual:here",
        "belay_firmware": "micropython 1.29.0",
        "belay_machine": "JS with Emscripten",
        "belay_port": "virtual:here",
    }
    assert ran.properties("test_none") == {}


TWICE = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    runtestprotocol(item, nextitem=nextitem, log=False)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        item.ihook.pytest_runtest_logreport(report=report)
    return True
"""
IS_CLEAN = """
def test_once(board):
    assert board.evaluate("'x' in globals()") is False
    board.execute("x = 1")
"""


def test_a_test_that_is_run_again_has_a_clean_board_and_each_property_once(
    run: Callable[..., Run], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest(TWICE)
    ran = run(IS_CLEAN, "--belay-port=virtual:here")
    assert ran.outcomes == {"test_once": "passed"}
    names = [one.attrib["name"] for case in ran.cases for one in case.iter("property")]
    assert sorted(names) == sorted(set(names)) != []


def test_a_folder_gets_a_trace_of_each_test(run: Callable[..., Run], tmp_path: Path) -> None:
    run(FAILING, "--belay-port=virtual:here", f"--belay-log-dir={tmp_path}/logs")
    names = sorted(file.name for file in (tmp_path / "logs").iterdir())
    tests = [f"test_it.py--test_{name}.virtual=here.jsonl" for name in ("assertion", "before", "device", "passes")]
    assert names == [*tests, "virtual=here.jsonl"]
    [link] = read_trace(tmp_path / "logs" / tests[3])
    assert link.port == "virtual:here"
    assert b"nothing to see" in link.sent_by("host")
    assert b"hello" not in link.sent_by("host")


def test_a_trace_that_cannot_be_kept_does_not_end_the_tests(run: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "test_it.py--test_passes.virtual=here.jsonl").mkdir()  # as a full disk does
    ran = run(FAILING, "--belay-port=virtual:here", f"--belay-log-dir={tmp_path}", "-olog_cli=true")
    assert ran.outcomes["test_passes"] == "passed"
    assert "the trace of test_it.py::test_passes on virtual:here is not kept" in ran.stdout
    assert "INTERNALERROR" not in ran.stdout


def test_a_folder_that_cannot_be_written_to_skips_nothing(run: Callable[..., Run]) -> None:
    if not Path("/proc/1").is_dir():
        pytest.skip("needs a folder that root cannot write to either")
    outcome = run("def test_one(board): pass", "--belay-port=virtual:", "--belay-log-dir=/proc/1").outcomes["test_one"]
    assert "error: " in outcome
    assert "belay: --belay-log-dir: /proc/1 cannot be written to" in outcome


def test_without_a_folder_no_trace_stays(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run(FAILING, "--belay-port=virtual:").cases
    assert [*tmp_path.glob("belay-pytest-*")] == []


def test_names_of_files_differ_as_those_of_tests_do() -> None:
    ids = ["t.py::test[a/b]", "t.py::test[a b]", "t.py::test[a_b]", "t.py::test[a:b]", "x" * 500, "x" * 501]
    names = [file_name(name) for name in ids]
    assert len(set(names)) == len(ids)
    assert all(len(name) < 200 and "/" not in name for name in names)


def test_a_trace_that_was_cut_short_can_be_shown() -> None:
    trace = (
        b'{"t": 0, "link": "a", "from": "host", "data": "\\u0005A\\u0001print(1)\\n_q(b\'abcd\')\\u0004"}\n'
        b'{"t": 0, "link": "a", "from": "board", "data": "R\\u0001\\u0080\\u0000\\u0001\\u00041\\r\\n"}\n'
        b'{"t": 0, "link": "a", "event": "lost", "reason": "cable"}\n{"t": 0, "li'
    )
    assert transcript(trace) == ">>> print(1)\n1\n\n(the link was lost: cable)"
    assert transcript(b"") == ""
