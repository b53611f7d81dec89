"""One owner per board among the processes of a machine, whatever becomes of them and of the lock files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from belay_py.devices import lock_files
from belay_py.devices.locks import FOLDER_VARIABLE, take
from belay_py.errors import DeviceBusy
from belay_py.transports import LinkOptions
from belay_py.transports.serial_device import open_device
from tests.transports.conformance import descriptors
from tests.transports.links import pty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# Takes the lock of a port at "take", lets go at "drop", and says what came of it.
_RIVAL = """
import os, sys
from belay_py.devices.locks import take
from belay_py.errors import DeviceBusy
for line in sys.stdin:
    verb, _, port = line.strip().partition(" ")
    if verb in ("take", "open"):
        try:
            if verb == "open":
                from belay_py.transports import LinkOptions
                from belay_py.transports.serial_device import open_device
                device = open_device(port, LinkOptions())
                lock = device.lock
            else:
                lock = take(port)
            print("held" if lock.is_held else "nothing", flush=True)
        except DeviceBusy as error:
            print("busy", error.holder, flush=True)
    elif verb == "fork":
        child = os.fork()
        if child == 0:
            lock.release()
            print(os.getpid(), flush=True)
            os.read(int(port), 1)
            os._exit(0)
    elif verb == "full":
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    elif verb == "shut":
        device.close()
        print("dropped", flush=True)
    elif verb == "drop":
        lock.release()
        print("dropped", flush=True)
"""


class Rival:
    """Another process that wants the same board."""

    def __init__(self, *pass_fds: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RIVAL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            pass_fds=pass_fds,
        )

    def ask(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __call__(self, what: str) -> str:
        self.ask(what)
        return self.answer()

    def end(self, number: int = 15) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def rival() -> Iterator[Callable[..., Rival]]:
    rivals: list[Rival] = []

    def make(*pass_fds: int) -> Rival:
        rivals.append(Rival(*pass_fds))
        return rivals[-1]

    yield make
    for one in rivals:
        one.end()


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that stands for a port, with lock files of its own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    file = tmp_path / "port"
    file.touch()
    return str(file)


@pytest.fixture
def lock_file(port: str) -> Path:
    """Where the lock of `port` is, after it was taken and released once."""
    take(port).release()
    [file] = (Path(port).parent / "locks").iterdir()
    return file


def test_one_owner_and_the_other_is_told_who(port: str) -> None:
    before = descriptors()
    lock = take(port)
    assert lock.is_held
    with pytest.raises(DeviceBusy) as caught:
        take(port)
    assert str(caught.value).startswith(f"{port} is in use by pid {os.getpid()} (")
    assert str(caught.value).endswith(", this process): end that, or wait")
    assert caught.value.holder is not None
    assert "this process" in caught.value.holder
    lock.release()
    lock.release()
    assert not lock.is_held
    take(port).release()
    assert descriptors() == before


@pytest.mark.parametrize(("win", "lose"), [("take", "drop"), ("open", "shut")])
def test_two_processes_never_win_both(port: str, rival: Callable[..., Rival], win: str, lose: str) -> None:
    pair = rival(), rival()
    with pty() as (_, path):
        for _ in range(50):
            for one in pair:
                one.ask(f"{win} {path}")
            answers = [one.answer() for one in pair]
            assert sorted(answer.split()[0] for answer in answers) == ["busy", "held"]
            winner = pair[answers[1] == "held"]
            loser = answers[answers[0] == "held"]
            # Just before the owner has written its record, the kernel says who it is.
            assert loser.startswith(f"busy pid {winner.process.pid} ({sys.executable} -c")
            assert winner(lose) == "dropped"


@pytest.mark.parametrize("win", ["take", "open"])
def test_a_killed_owner_lets_go_at_once(port: str, rival: Callable[..., Rival], win: str) -> None:
    one = rival()
    with pty() as (_, path):
        assert one(f"{win} {path}") == "held"
        one.end(9)
        device = open_device(path, LinkOptions())
        assert device.lock.is_held
        device.close()


@pytest.mark.parametrize("win", ["take", "open"])
def test_a_forked_child_neither_frees_nor_keeps_what_its_parent_has(
    port: str, rival: Callable[..., Rival], win: str
) -> None:
    read, write = os.pipe()
    one = rival(read)
    os.close(read)
    with pty() as (_, path):
        assert one(f"{win} {path}") == "held"
        child = int(one(f"fork {read}"))
        with pytest.raises(DeviceBusy):  # the child has released what was not its own
            open_device(path, LinkOptions())
        one.process.kill()
        one.process.wait()
        os.kill(child, 0)  # and lives
        open_device(path, LinkOptions()).close()
        os.close(write)


def test_a_copy_of_the_descriptor_does_not_outlive_a_release(port: str) -> None:
    lock = take(port)
    [fd] = lock._files
    assert not os.get_inheritable(fd)
    copy = os.dup(fd)  # what a child has for a moment while it is started
    lock.release()
    take(port).release()
    os.close(copy)


def test_the_file_stays_for_everybody(port: str, lock_file: Path) -> None:
    assert lock_file.stat().st_mode & 0o777 == 0o666
    assert lock_file.parent.stat().st_mode & 0o7777 == 0o1777
    before = lock_file.stat().st_ino
    lock = take(port)
    assert json.loads(lock_file.read_bytes())["pid"] == os.getpid()
    lock.release()
    assert (lock_file.stat().st_ino, lock_file.read_bytes()) == (before, b"")


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\0\xff",
        b"[]",
        b"{}",
        b'{"pid": "x"}',
        b"9" * 5000,
        # Of an owner that was killed: there is such a process, but it began at another time.
        json.dumps({"pid": 1, "program": "long gone", "started": -1}).encode(),
        json.dumps({"pid": 2**40, "program": "long gone", "started": 1}).encode(),
    ],
)
def test_junk_in_the_file_changes_nothing(port: str, lock_file: Path, junk: bytes) -> None:
    lock_file.write_bytes(junk)
    lock = take(port)
    lock_file.write_bytes(junk)
    with pytest.raises(DeviceBusy) as caught:
        take(port)
    assert caught.value.holder is not None
    assert caught.value.holder.startswith(f"pid {os.getpid()} (")  # the kernel knows
    lock.release()


def test_a_full_disk_does_not_hinder(port: str, rival: Callable[..., Rival]) -> None:
    one = rival()
    one.ask("full")
    assert one(f"take {port}") == "held"
    with pytest.raises(DeviceBusy, match=f"pid {one.process.pid} "):
        take(port)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_was_cleaned_away_is_not_locked_in_vain(
    port: str, lock_file: Path, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    opened = lock_files._open

    def open_and_clean(path: Path) -> int:
        fd = opened(path)
        monkeypatch.setattr(lock_files, "_open", opened)
        path.unlink()
        if replaced:
            path.touch()
        return fd

    monkeypatch.setattr(lock_files, "_open", open_and_clean)
    lock = take(port)
    assert lock_file.exists()
    with pytest.raises(DeviceBusy):
        take(port)
    lock.release()


def _dangle(file: Path) -> None:
    file.symlink_to(file.parent / "nowhere")


def _link(file: Path) -> None:
    elsewhere = file.parent / "elsewhere"
    elsewhere.write_text("precious")
    file.symlink_to(elsewhere)


@pytest.mark.parametrize("plant", [_dangle, _link, os.mkfifo, Path.mkdir], ids=["dangling", "link", "fifo", "folder"])
def test_what_somebody_has_put_in_its_place_is_not_touched(
    port: str, lock_file: Path, plant: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lock_file.unlink()
    plant(lock_file)
    before = descriptors()
    lock = take(port)
    assert not lock.is_held
    lock.release()
    assert f"{port} is used without a lock file" in caplog.text
    assert not (lock_file.parent / "nowhere").exists()
    assert plant is not _link or (lock_file.parent / "elsewhere").read_text() == "precious"
    assert descriptors() == before


@pytest.mark.parametrize("folder", ["/proc", "/dev/null", "/no/such/folder"])
def test_a_folder_that_cannot_be_used_does_not_hinder(
    port: str, folder: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(FOLDER_VARIABLE, folder)
    assert not take(port).is_held
    assert "its own exclusiveness has to do" in caplog.text


def test_another_users_file_is_locked_all_the_same(port: str, lock_file: Path) -> None:
    lock_file.chmod(0o444)
    lock = take(port)
    assert lock.is_held
    with pytest.raises(DeviceBusy):
        take(port)
    lock.release()


def test_links_are_one_port_and_other_ports_are_not(port: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(port)
    other = tmp_path / "other"
    other.touch()
    lock, another = take(str(tmp_path / "one")), take(str(other))
    with pytest.raises(DeviceBusy):
        take(str(tmp_path / "two"))
    assert another.is_held
    lock.release()
    another.release()


@pytest.mark.parametrize("name", ["memory:1", "virtual:x", "process:cat", "loop://", "/no/such/port"])
def test_what_has_no_rivals_takes_no_lock(port: str, name: str) -> None:
    assert not take(name).is_held
    assert not take(port, exclusive=False).is_held
    assert not (Path(port).parent / "locks").exists()


def test_a_port_in_a_folder_that_is_closed_to_us_is_left_to_opening(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    user = os.geteuid()
    try:
        os.seteuid(user or 65534)  # root may go anywhere
        assert not take(str(closed / "ttyACM0")).is_held
    finally:
        os.seteuid(user)


def test_a_release_spares_what_has_the_descriptors_number_now(port: str, tmp_path: Path) -> None:
    lock = take(port)
    [fd] = lock._files
    precious = tmp_path / "precious"
    precious.write_text("precious")
    with precious.open("r+") as file:
        os.dup2(file.fileno(), fd)
        lock.release()
        assert precious.read_text() == "precious"
        os.close(fd)  # still open: it was not ours to close
