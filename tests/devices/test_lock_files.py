"""The folders and names of lock files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from belay_py.devices import lock_files, locks
from belay_py.devices.locks import FOLDER_VARIABLE, take
from belay_py.errors import DeviceBusy
from tests.transports.conformance import descriptors


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A path that stands for a port, with lock files of its own."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "locks"))
    file = tmp_path / "port"
    file.touch()
    return str(file)


def test_the_folder_is_one_that_all_users_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    for number, folder in enumerate(lock_files.folders()):
        assert folder.parent in {Path("/run/lock"), Path("/var/lock"), Path("/tmp")}
        assert number or folder.stat().st_mode & 0o1777 == 0o1777


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Two folders that stand for /run/lock and /tmp; none is there yet."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    parents = [tmp_path / "run", tmp_path / "tmp"]
    monkeypatch.setattr(lock_files, "_PARENTS", tuple(map(str, parents)))
    return parents


def test_the_folder_does_not_depend_on_who_asks(
    parents: list[Path], port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    parents[1].mkdir()
    (tmp_path / "mine").mkdir()
    lock = take(port)
    assert lock.is_held
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "mine"))
    with pytest.raises(DeviceBusy):
        take(port)
    lock.release()


def test_a_better_folder_that_appears_later_does_not_make_two_owners(
    parents: list[Path], port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    parents[1].mkdir()
    before = descriptors()
    lock = take(port)
    parents[0].mkdir()
    with pytest.raises(DeviceBusy, match=f"pid {os.getpid()} "):
        take(port)
    lock.release()
    lock = take(port)
    for parent in parents:
        assert len(list((parent / "belay_py").iterdir())) == 1
    lock.release()
    assert descriptors() == before


def test_two_names_of_one_folder_are_one_lock(parents: list[Path], port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    parents[0].mkdir()
    parents[1].symlink_to(parents[0])
    lock = take(port)
    assert lock.is_held
    lock.release()


def test_only_the_first_folder_is_made(parents: list[Path]) -> None:
    for parent in parents:
        parent.mkdir()
    assert lock_files.folders() == [parents[0] / "belay_py"]
    assert list(parents[0].iterdir()) == [parents[0] / "belay_py"]
    assert not list(parents[1].iterdir())


def test_a_folder_never_appears_without_its_mode(parents: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    parents[0].mkdir()
    folder = parents[0] / "belay_py"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "chmod", killed)
        with pytest.raises(KeyboardInterrupt):
            lock_files.folders()
    assert not folder.exists()
    folder.mkdir(0o755)  # what an earlier version left behind
    assert lock_files.folders() == [folder]
    assert folder.stat().st_mode & 0o7777 == 0o1777


def test_a_folder_that_the_user_has_named_keeps_its_mode(port: str) -> None:
    named = Path(os.environ[FOLDER_VARIABLE])
    named.mkdir(0o700)
    take(port).release()
    assert named.stat().st_mode & 0o7777 == 0o700


def test_names_of_files_tell_identities_apart() -> None:
    names = [
        "usb-1-2-A",
        "usb-1-2-a",
        "/dev/tty/x",
        "/dev/tty-x",
        "ö" * 300,
        "ö" * 301,
        "x" * 200,
        "x" * 201,
        "../../x",
    ]
    files = [lock_files.file_name(name) for name in names]
    assert len(set(files)) == len(names)
    for file in files:
        assert "/" not in file
        assert len(file) < 200
        assert file.isascii()


def test_two_names_of_which_one_is_taken(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a twin appears or a listing fails: the identity changes, the device's number does not."""
    before = descriptors()
    monkeypatch.setattr(locks, "names", lambda _: ("dev-188-0", "usb-10C4-EA60-0001-"))
    lock = take(port)
    for other in (("dev-188-0",), ("dev-188-0", "usb-at-1-1"), ("dev-188-5", "usb-10C4-EA60-0001-")):
        monkeypatch.setattr(locks, "names", lambda _, other=other: other)
        with pytest.raises(DeviceBusy, match=f"pid {os.getpid()} "):
            take(port)
    monkeypatch.setattr(locks, "names", lambda _: ("dev-188-1", "usb-at-1-9"))
    another = take(port)
    assert another.is_held
    another.release()
    lock.release()
    assert descriptors() == before
