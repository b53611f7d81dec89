"""What one test leaves on its board does not reach the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Run

LEAVING = """
import pytest
from belay_py import ExecutionError, SessionTimeout

def fresh(board):
    assert board.evaluate("len('ab')") == 2
    assert board.execute("print('said')").output == "said\\n"
    assert board.evaluate("[name for name in globals() if name[0] != '_']") == []
    assert board.evaluate("'/nowhere' in __import__('sys').path") is False
    assert board.evaluate("'json' in __import__('sys').modules") is False
    assert board.evaluate("__import__('os').getcwd()") == "/"
    assert board.evaluate("len(bytearray(1_000_000))") == 1_000_000

def test_a_loop(board):
    with pytest.raises(SessionTimeout):
        board.execute("while True: pass", timeout=0.2)

def test_after_a_loop(board):
    fresh(board)

def test_a_stream_that_goes_on(board):
    pieces = board.stream("while True: print('on')")
    assert next(pieces)

def test_after_a_stream(board):
    fresh(board)

def test_changes(board):
    board.execute("import builtins, json, os, sys\\nos.mkdir('/folder')\\nos.chdir('/folder')")
    board.execute("sys.path.append('/nowhere')\\nkept = open('/folder/open.txt', 'w')")
    board.execute("builtins.len = builtins.print = lambda *a: 99")

def test_after_changes(board):
    fresh(board)

def test_a_full_heap(board):
    with pytest.raises(ExecutionError, match="MemoryError"):
        board.execute("kept = []\\nwhile True: kept.append(bytearray(10_000))")

def test_after_a_full_heap(board):
    fresh(board)

def test_files_are_kept(board):
    assert board.files.is_dir("/folder")
"""


def test_a_test_finds_a_board_as_after_its_start(run: Callable[..., Run]) -> None:
    ran = run(LEAVING, "--belay-port=virtual:")
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout


COUNTING = """
import pytest

epochs = []

def test_first(board):
    epochs.append(board.boot_epoch)

def test_second(board):
    epochs.append(board.boot_epoch)
    board.execute("x = 1")

def test_third(board):
    epochs.append(board.boot_epoch)
    assert epochs[0] == epochs[1] == epochs[2] - 1

@pytest.mark.belay_board(reset="hard")
def test_hard(board):
    assert board.evaluate("__import__('machine').reset_cause() == __import__('machine').HARD_RESET")
"""


def test_a_board_to_which_nothing_was_sent_is_not_reset_again(run: Callable[..., Run]) -> None:
    ran = run(COUNTING, "--belay-port=virtual:")
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout


SCOPED = """
streams = []

def test_first(board):
    board.execute("x = 1")

def test_second(board):
    assert board.evaluate("x") == 1

def test_a_stream(board):
    streams.append(board.stream("while True: print('on')"))
    assert next(streams[0])

def test_a_stream_goes_on(board):
    assert board.state.name == "ACTIVE"
    assert next(streams[0])
    streams[0].close()

def test_files(board, board_files):
    board_files.write("/a.txt", "a")
    assert board.files.read_text("/a.txt") == "a"
"""


def test_a_wider_scope_keeps_the_board_as_it_is(run: Callable[..., Run]) -> None:
    ran = run(SCOPED, "--belay-port=virtual:", "--belay-board-scope=module")
    assert set(ran.outcomes.values()) == {"passed"}, ran.stdout
    assert "NameError" in run(SCOPED, "--belay-port=virtual:").outcomes["test_second"]


FILES = """
from pathlib import Path
import pytest

def listing(board):
    return {entry.path: None if entry.is_dir else board.files.read_text(entry.path) for entry in board.files.walk("/")}

def test_before(board):
    board.files.write_text("/main.txt", "main")
    board.files.write_text("/gone.txt", "gone")
    assert listing(board) == {"/main.txt": "main", "/gone.txt": "gone"}

def test_provisioned(board, board_files):
    source = Path("source")
    (source / "lib").mkdir(parents=True)
    (source / "lib" / "driver.py").write_text("ANSWER = 42")
    board_files.put(source)
    board_files.put(source / "lib" / "driver.py", "/copy.py")
    board_files.write("main.txt", b"other")
    board_files.write("/deep/er/file", "x")
    board_files.remove("/gone.txt")
    assert board.evaluate("__import__('driver').ANSWER") == 42
    board.execute("import builtins, os\\nos.chdir('/deep')\\nbuiltins.open = None")
    board.execute("import os\\nos.remove('/copy.py')")

def test_restored(board):
    assert listing(board) == {"/main.txt": "main", "/gone.txt": "gone"}

def test_kept(board, board_files):
    board_files.keep("/")
    board_files.write("/main.txt", "other")
    board.execute("import os\\nos.remove('/gone.txt')\\nos.mkdir('/new')\\nopen('/new/file', 'w').close()")

def test_restored_as_kept(board):
    assert listing(board) == {"/main.txt": "main", "/gone.txt": "gone"}

def test_failing(board, board_files):
    board_files.write("/main.txt", "other")
    raise ValueError

def test_restored_after_a_failure(board):
    assert listing(board) == {"/main.txt": "main", "/gone.txt": "gone"}

def test_disconnected(board, board_files):
    board_files.write("/main.txt", "other")
    board_files.write("/new", "new")
    board.execute("import os\\nos.remove('/new')\\nos.mkdir('/new')")
    board.disconnect()

def test_restored_after_a_disconnect(board):
    assert listing(board) == {"/main.txt": "main", "/gone.txt": "gone"}
"""


def test_files_are_put_on_the_board_and_restored(run: Callable[..., Run]) -> None:
    outcomes = run(FILES, "--belay-port=virtual:").outcomes
    assert "ValueError" in outcomes.pop("test_failing")
    assert set(outcomes.values()) == {"passed"}, outcomes
