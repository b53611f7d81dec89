"""The blocking face of a board's files, on real MicroPython: the same names, arguments and answers."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import RemoteFileNotFound, SessionClosed
from belay_py.session.files import Files as AsynchronousFiles
from belay_py.session.files import RemoteFile as AsynchronousFile
from belay_py.sync import DeviceSession, DeviceSessionManager
from belay_py.sync.files import Files, RemoteFile

if TYPE_CHECKING:
    from pathlib import Path

    from belay_py.virtual import BoardProcess


def public(kind: type[Any]) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(value)
        for name, value in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("mine", "theirs"), [(Files, AsynchronousFiles), (RemoteFile, AsynchronousFile)])
def test_the_same_methods_with_the_same_arguments(mine: type[Any], theirs: type[Any]) -> None:
    assert set(public(mine)) == set(public(theirs))
    for name, signature in public(theirs).items():
        expected = {parameter.name: (parameter.kind, parameter.default) for parameter in signature.parameters.values()}
        found = public(mine)[name].parameters.values()
        assert {parameter.name: (parameter.kind, parameter.default) for parameter in found} == expected, name


def test_a_script(direct_board: BoardProcess, tmp_path: Path) -> None:
    (tmp_path / "app" / "lib").mkdir(parents=True)
    (tmp_path / "app" / "lib" / "x.py").write_text("x = 5")
    told: list[tuple[int, int | None]] = []
    with DeviceSession(direct_board.port) as board:
        files = board.files
        files.write_bytes("/a", b"abc")
        files.write_text("/b", "grüße")
        assert (files.read_bytes("/a"), files.read_text("/b")) == (b"abc", "grüße")
        files.put(b"12345", "/c")
        files.get("/c", tmp_path / "c")
        assert (tmp_path / "c").read_bytes() == files.get("/c") == b"12345"
        assert [entry.name for entry in files.list("/")] == ["a", "b", "c"]
        files.mkdir("/d/e", parents=True)
        files.rename("/c", "/d/c")
        files.touch("/d/new")
        assert [entry.path for entry in files.walk("/d")] == ["/d/c", "/d/e", "/d/new"]
        assert (files.exists("/d"), files.is_dir("/d"), files.is_file("/d"), files.stat("/a").size) == (1, 1, 0, 3)
        assert files.hash("/a").startswith("ba7816bf")
        assert files.free_space().total >= files.free_space().free > 0
        assert not files.plan_sync(tmp_path / "app", "/app").is_empty
        plan = files.sync(tmp_path / "app", "/app", progress=lambda done, total: told.append((done, total)))
        assert (plan.bytes, told[-1]) == (5, (5, 5))
        assert files.sync(tmp_path / "app", "/app", dry_run=True).is_empty
        for sync in (files.plan_sync, functools.partial(files.sync, dry_run=True)):
            plan = sync(tmp_path / "app", "/", delete=True, mpy=True, ignore=["/a"], timeout=60)
            assert [file.path for file in plan.to_send] == ["/lib/x.mpy"]
            assert "/b" in plan.to_delete
            assert "/a" not in plan.to_delete
        assert files.compile("x = 1", name="x.py")[:1] == b"M"
        files.remove("/d", recursive=True)
        with pytest.raises(RemoteFileNotFound):
            files.stat("/d")


def test_a_file_is_open_within_a_block(direct_board: BoardProcess) -> None:
    with DeviceSession(direct_board.port) as board:
        with board.files.open("/x", "wb", piece=4) as file:
            assert file.write(b"0123456789") == 10
            file.flush()
            assert (file.tell(), file.path, file.mode) == (10, "/x", "wb")
        with board.files.open("/x", piece=4) as file:
            assert list(file) == [b"0123", b"4567", b"89"]
            file.seek(5)
            assert (file.read(2), file.read()) == (b"56", b"789")
            file.close()
        assert repr(file) == "<sync RemoteFile '/x' rb closed>"


def test_a_walk_that_is_left_early_leaves_the_board_free(direct_board: BoardProcess) -> None:
    with DeviceSession(direct_board.port) as board:
        board.files.write_bytes("/x", b"")
        for _ in board.files.walk("/"):
            break
        assert board.execute("print(1)").output == "1\n"


def test_files_within_a_lease_and_after_it() -> None:
    with DeviceSessionManager() as manager:
        from belay_py import DeviceSessionOptions

        manager.create_session("sensor", DeviceSessionOptions(port="virtual:"))
        with manager.lease("sensor") as board:
            files = board.files
            files.write_bytes("/x", b"1")
            assert [entry.name for entry in files.list("/")] == ["x"]
        with pytest.raises(SessionClosed, match="lease"):
            files.list("/")
        assert manager["sensor"].files.read_bytes("/x") == b"1"
