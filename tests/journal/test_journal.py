"""A journal's file by itself: what is in it after which notes, whose it is, and how it cannot be used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py import JournalError
from belay_py.devices.holders import started
from belay_py.journal import Journal, SessionNote, read_journal
from belay_py.journal import journal as writing
from belay_py.journal.processes import lives, own_mark
from belay_py.journal.store import KEPT, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

SEAT = (("a" * 32, "left"),)
NOTE = SessionNote(
    session_id="a" * 32,
    device_id="left",
    port="memory:left",
    generation=1,
    boot_epoch=1,
    life="first",
    unique_id="0123",
    connected=True,
    is_sole=True,
    at=1000.0,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bench.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    yield opened
    opened.close("closed", 10)


def of_a_dead_process(path: Path, code: str) -> int:
    """Write a journal in another process, which then dies at once; return its number."""
    program = f"""
import os
from belay_py.journal import Journal, SessionNote
journal = Journal({str(path)!r})
note = SessionNote(session_id="b" * 32, device_id="left", port="memory:left", generation=1, boot_epoch=1,
                   life="first", unique_id="0123", connected=True, is_sole=True, at=1000.0)
{code}
journal.settle(10)
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, "-c", program])
    process.wait()
    return process.pid


# ---- What is in it ----


def test_boards_sessions_and_leases(journal: Journal, path: Path) -> None:
    journal.note(NOTE)
    journal.lease_began(1, SEAT, "app.py:1")
    journal.lease_began(2, SEAT, "app.py:2")
    journal.lease_ended(2)
    assert journal.settle(10)
    contents = read_journal(path)
    [process] = contents.processes
    assert (process.pid, process.how, contents.state_of(process)) == (os.getpid(), None, "runs")
    [board] = contents.boards
    assert (board.device_id, board.port, board.unique_id, board.life, board.boot_epoch) == (
        *("left", "memory:left", "0123", "first"),
        1,
    )
    [session] = contents.sessions
    assert (session.session_id, session.generation, session.boot_epoch, session.connected) == ("a" * 32, 1, 1, True)
    assert session.opened.timestamp() == 1000.0
    assert [(lease.lease_id, lease.holder, lease.how) for lease in contents.leases] == [
        (1, "app.py:1", None),
        (2, "app.py:2", "released"),
    ]


def test_a_lease_that_was_written_as_held_ends(journal: Journal, path: Path) -> None:
    journal.lease_began(1, SEAT, "app.py:1")
    assert journal.settle(10)
    [held] = read_journal(path).leases
    assert held.ended is None
    journal.lease_ended(1)
    assert journal.settle(10)
    [over] = read_journal(path).leases
    assert over.ended is not None
    assert over.since == held.since


def test_the_lives_of_a_board_are_counted(journal: Journal, path: Path) -> None:
    assert journal.last_life("left", "memory:left") is None
    for life in ("first", "first", "second", "third"):
        journal.note(replace(NOTE, life=life))
        assert journal.settle(10)
        assert journal.last_life("left", "memory:left") == life
    [board] = read_journal(path).boards
    assert board.boot_epoch == 3
    assert journal.last_life("renamed", "memory:left") == "third"
    assert journal.last_life("left", "memory:moved") == "third"
    assert journal.last_life("renamed", "memory:moved") is None


def test_a_session_that_has_ended_says_nothing_of_a_board_that_others_have_met_since(
    journal: Journal, path: Path
) -> None:
    journal.note(NOTE)
    assert journal.settle(10)
    journal.note(replace(NOTE, session_id="b" * 32, life="second"))
    assert journal.settle(10)
    journal.note(replace(NOTE, connected=False, how="requested"))
    assert journal.settle(10)
    assert journal.last_life("left", "memory:left") == "second"
    assert [session.how for session in read_journal(path).sessions] == ["requested", None]


def test_an_end_that_is_written_late_takes_no_newer_life_back(journal: Journal, path: Path) -> None:
    """It had restarted, and was let go before that was written; meanwhile somebody else met it, restarted again."""
    journal.note(NOTE)
    assert journal.settle(10)
    other = Journal(path)
    other.note(replace(NOTE, session_id="b" * 32, life="third", at=1003.0))
    assert other.settle(10)
    journal.note(replace(NOTE, life="second", connected=False, how="requested", at=1002.0))
    assert journal.settle(10)
    other.close("closed", 10)
    assert [board.life for board in read_journal(path).boards] == ["third"]


def test_names_that_are_no_unicode(journal: Journal, path: Path) -> None:
    odd = "port\udcff"
    journal.note(replace(NOTE, device_id=odd, port=f"/dev/{odd}", unique_id=odd))
    journal.lease_began(1, (("a" * 32, odd),), f"{odd}.py:1")
    assert journal.settle(10)
    assert journal.last_life(odd, f"/dev/{odd}") == "first"
    [lease] = read_journal(path).leases
    assert (lease.device_id, lease.holder) == (r"port\udcff", r"port\udcff.py:1")


def test_a_close_ends_everything_that_the_process_had(path: Path) -> None:
    journal = Journal(path)
    journal.note(NOTE)
    journal.lease_began(1, SEAT, "app.py:1")
    journal.close("handed over", 10)
    journal.close("closed", 10)
    contents = read_journal(path)
    assert [process.how for process in contents.processes] == ["handed over"]
    assert [(session.connected, session.how) for session in contents.sessions] == [(False, "handed over")]
    assert [lease.how for lease in contents.leases] == ["handed over"]
    assert not [thread for thread in threading.enumerate() if thread.name == "belay journal"]


def test_what_has_ended_is_kept_for_a_while_only(journal: Journal, path: Path) -> None:
    journal.note(NOTE)
    for number in range(1, 4 * KEPT):
        journal.lease_began(number, SEAT, "app.py:1")
        journal.lease_ended(number)
        if not number % 100:
            assert journal.settle(10)
    assert journal.settle(10)
    kept = [lease.lease_id for lease in read_journal(path).leases]
    assert KEPT <= len(kept) <= 2.5 * KEPT
    assert kept[-1] == 4 * KEPT - 1


def test_a_flood_of_leases_is_bounded_and_loses_only_what_is_over(journal: Journal, path: Path) -> None:
    with transaction(journal._store):  # nobody else can write meanwhile
        journal.lease_began(1, SEAT, "app.py:1")
        for number in range(2, 10_000):
            journal.lease_began(number, SEAT, "app.py:1")
            journal.lease_ended(number)
        journal.lease_began(10_000, SEAT, "app.py:1")
        assert len(journal._held) <= writing._MOST_ENDED + 2
    assert journal.settle(10)
    held = [lease.lease_id for lease in read_journal(path).leases if lease.ended is None]
    assert held == [1, 10_000]


# ---- Whose it is ----


def test_what_a_dead_process_has_left_is_found_once(path: Path) -> None:
    pid = of_a_dead_process(path, 'journal.note(note); journal.lease_began(7, (("b" * 32, "left"),), "app.py:12")')
    contents = read_journal(path)
    assert contents.state_of(contents.processes[0]) == "died"
    assert [session.connected for session in contents.sessions] == [True]
    journal = Journal(path)
    [left] = journal.found
    assert left.process.pid == pid
    assert [session.device_id for session in left.sessions] == ["left"]
    [lease] = left.leases
    assert str(left).startswith(f"left by process {pid} ({sys.executable}")
    assert str(left).endswith(
        f"which died: session of 'left' on memory:left, lease of 'left' since {lease.since:%Y-%m-%d %H:%M:%S} "
        "held by app.py:12"
    )
    other = Journal(path)
    assert other.found == ()
    contents = read_journal(path)
    assert [contents.state_of(process) for process in contents.processes] == ["died", "runs", "runs"]
    assert [(session.connected, session.how) for session in contents.sessions] == [(False, "died")]
    assert [each.how for each in contents.leases] == ["died"]
    journal.close("closed", 10)
    other.close("closed", 10)


def test_a_dead_process_that_had_nothing_is_not_told(path: Path) -> None:
    of_a_dead_process(path, "")
    journal = Journal(path)
    assert journal.found == ()
    assert read_journal(path).processes[0].how == "died"
    journal.close("closed", 10)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells when a process started")
def test_a_process_number_that_is_used_again_is_not_taken_for_its_first_owner() -> None:
    mark = own_mark()
    assert mark.started is not None
    assert lives(mark.pid, mark.started, mark.machine) is True
    assert lives(mark.pid, mark.started - 1, mark.machine) is False
    host, boot, space = mark.machine.split(" ")
    assert lives(mark.pid, mark.started, f"{host} another-start {space}") is False
    assert lives(mark.pid, mark.started, f"elsewhere another-start {space}") is None
    assert lives(mark.pid, mark.started, f"{host} {boot} pid:[1]") is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells who is dead")
def test_a_dead_process_whose_parent_has_not_noticed_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = started(process.pid)
    assert lives(process.pid, began, own_mark().machine) is True
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    while b") Z " not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0)
    assert lives(process.pid, began, own_mark().machine) is False
    process.wait()


def test_whoever_has_the_board_ends_a_session_of_a_process_of_which_nobody_can_tell(path: Path) -> None:
    """Of another container, say. The board's lock was free, so that session is over."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        pass
    master, slave = os.openpty()
    port = os.ttyname(slave)
    first = Journal(path)
    first.note(replace(NOTE, port=port))
    first.lease_began(1, SEAT, "app.py:1")
    assert first.settle(10)
    with contextlib.closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE processes SET machine = 'elsewhere'")
    second = Journal(path)
    assert second.found == ()
    contents = read_journal(path)
    assert contents.state_of(contents.processes[0]) == "unknown"
    second.note(replace(NOTE, session_id="b" * 32, port=port, is_sole=False))
    assert second.settle(10)
    assert [session.connected for session in read_journal(path).sessions] == [True, True]
    second.note(replace(NOTE, session_id="b" * 32, port=port))
    assert second.settle(10)
    contents = read_journal(path)
    assert {session.session_id[0]: session.how for session in contents.sessions} == {"a": "lost", "b": None}
    assert [lease.how for lease in contents.leases] == ["lost"]
    for journal in (first, second):
        journal.close("closed", 10)
    os.close(master)
    os.close(slave)


def test_several_processes_write_at_the_same_time(path: Path) -> None:
    program = f"""
import sys
from belay_py.journal import Journal
journal = Journal({str(path)!r})
for number in range(1, 201):
    journal.lease_began(number, (("a" * 32, "left"),), "app.py:1")
    assert journal.settle(30)
    journal.lease_ended(number)
journal.close("closed", 30)
"""
    together = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait() for process in together] == [0, 0, 0]
    contents = read_journal(path)
    assert [process.how for process in contents.processes] == ["closed"] * 3
    assert {lease.how for lease in contents.leases} == {"released"}
    assert {lease.process for lease in contents.leases if lease.lease_id == 200} == {1, 2, 3}


# ---- What is wrong with it ----


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Whom the rights of files count for."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot be opened \(unable to open database file\); name a file that can"):
        Journal(tmp_path / "none" / "journal")
    with pytest.raises(JournalError, match="there is no journal"):
        read_journal(tmp_path / "none" / "journal")


@pytest.mark.parametrize("name", ["x" * 300, "nul\0"], ids=["too long", "with a NUL"])
def test_a_name_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(JournalError, match="name a file that can be written"):
        Journal(tmp_path / name)
    with pytest.raises(JournalError, match="there is no journal"):
        read_journal(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_a_file_that_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        Journal(path).close("closed", 10)
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            with another_user(), pytest.raises(JournalError, match=r"cannot be opened \(.*\); name a file that can be"):
                Journal(path)
        finally:
            Path(folder).chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
def test_whoever_may_only_read_it_can() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        journal = Journal(path)
        journal.note(NOTE)
        journal.settle(10)
        Path(folder).chmod(0o555)
        try:
            with another_user():
                assert [session.device_id for session in read_journal(path).sessions] == [NOTE.device_id]
            Path(folder).chmod(0o755)
            journal.close("closed", 10)
            Path(folder).chmod(0o555)
            with another_user():
                assert [process.how for process in read_journal(path).processes] == ["closed"]
            path.chmod(0o000)
            with another_user(), pytest.raises(JournalError, match="read it with the rights of those who write it"):
                read_journal(path)
        finally:
            Path(folder).chmod(0o755)
