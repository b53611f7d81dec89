"""``journal``: what a manager's journal knows, for people and for programs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from belay_py.journal import Journal, SessionNote

from .conftest import complaint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Commands

NOTE = SessionNote(
    session_id="a" * 32,
    device_id="left[0]",  # which rich would read as markup
    port="memory:left",
    generation=2,
    boot_epoch=3,
    life="first",
    unique_id="0123",
    connected=True,
    is_sole=True,
    at=1000.0,
)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A journal that somebody writes; a session is open, one lease is held, and one is over."""
    path = tmp_path / "bench.journal"
    journal = Journal(path)
    journal.note(NOTE)
    journal.lease_began(1, (("a" * 32, "left[0]"),), "app.py:1")
    journal.lease_ended(1)
    journal.lease_began(2, (("a" * 32, "left[0]"),), "app.py:2")
    assert journal.settle(10)
    yield path
    journal.close("closed", 10)


def test_what_is_open(belay: Commands, path: Path) -> None:
    done = belay.run("journal", str(path))
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode()
    rows = [line.split() for line in shown.splitlines()]
    assert [str(os.getpid()), "runs"] in [row[:2] for row in rows]
    assert ["left[0]", "memory:left", "0123", "1"] in [row[:4] for row in rows]
    assert ["left[0]", "memory:left", str(os.getpid()), "2", "3"] in [row[:5] for row in rows]
    assert "app.py:2" in shown
    assert "app.py:1" not in shown


def test_what_has_ended_too(belay: Commands, path: Path) -> None:
    done = belay.run("journal", str(path), "--all")
    [row] = [line for line in done.stdout.decode().splitlines() if "app.py:1" in line]
    assert " released " in row


def test_for_programs(belay: Commands, path: Path) -> None:
    told = json.loads(belay.run("journal", str(path), "--json").stdout)
    assert [(process["pid"], process["state"]) for process in told["processes"]] == [(os.getpid(), "runs")]
    assert [(board["device_id"], board["life"], board["boot_epoch"]) for board in told["boards"]] == [
        ("left[0]", "first", 1)
    ]
    assert [(session["connected"], session["generation"]) for session in told["sessions"]] == [(True, 2)]
    assert [(lease["holder"], lease["how"]) for lease in told["leases"]] == [
        ("app.py:1", "released"),
        ("app.py:2", None),
    ]


def test_an_empty_one(belay: Commands, tmp_path: Path) -> None:
    Journal(tmp_path / "empty").close("closed", 10)
    assert belay.run("journal", str(tmp_path / "empty")).stdout == b"nothing is open\n"


def test_what_is_no_journal(belay: Commands, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("what somebody wrote\n" * 100)
    for name, reason in (("none", "there is no journal"), ("text", "it is damaged, or no journal: move it away")):
        done = belay.run("journal", str(tmp_path / name))
        assert done.returncode == 2
        assert reason in complaint(done)
