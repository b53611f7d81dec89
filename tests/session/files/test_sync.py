"""Syncing folders with real MicroPython."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from belay_py import (
    DeviceSession,
    Disconnected,
    NotSupported,
    OutcomeUnknown,
    RemoteFileError,
    RemoteIsADirectory,
    RemoteNotADirectory,
    SettingsError,
    TransferError,
)
from belay_py.session.files.ignoring import Ignore
from belay_py.session.files.paths import part_name
from belay_py.virtual import VirtualBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from belay_py.session.files.plans import SyncPlan
    from belay_py.virtual import BoardProcess


@pytest.fixture
async def session(direct_board: BoardProcess) -> AsyncIterator[DeviceSession]:
    """A session on a board without files."""
    async with DeviceSession(direct_board.port) as session:
        for entry in await session.files.list("/"):
            await session.files.remove(entry.path, recursive=True)
        yield session


def make(folder: Path, **files: str | None) -> Path:
    """Make files of the host; two underscores stand for a slash, None for a folder."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content)
    return folder


async def on_board(session: DeviceSession, folder: str = "/") -> dict[str, str | None]:
    """What the board has below a folder, as the board itself reads it; None for folders."""
    found: dict[str, str | None] = {}
    async for entry in session.files.walk(folder):
        code = f"import sys\nsys.stdout.write(open({entry.path!r}).read())\n"
        found[entry.path] = None if entry.is_dir else (await session.execute(code)).output
    return found


def sent(plan: SyncPlan) -> list[str]:
    return [file.path for file in plan.to_send]


async def test_where_case_matters_a_name_of_another_case_is_deleted(session: DeviceSession, tmp_path: Path) -> None:
    # Where it does not, on FAT, it is the same file: tests/firmware/test_files.py.
    make(tmp_path, Name="new")
    await session.files.write_text("/Name", "new")
    await session.files.write_text("/NAME", "other")
    plan = await session.files.sync(tmp_path, delete=True)
    assert (plan.to_delete, plan.unchanged) == (("/NAME",), ("/Name",))
    assert await on_board(session) == {"/Name": "new"}


async def test_a_folder_comes_to_the_board_whole(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, **{"main": "print(1)", "lib__a__x": "x" * 3000, "lib__a__ü 'n\n": "ü", "empty": ""}, lib__none=None)
    plan = await session.files.sync(tmp_path, "/app/")
    assert await on_board(session) == {
        "/app": None,
        "/app/empty": "",
        "/app/lib": None,
        "/app/lib/a": None,
        "/app/lib/a/x": "x" * 3000,
        "/app/lib/a/ü 'n\n": "ü",
        "/app/lib/none": None,
        "/app/main": "print(1)",
    }
    assert plan.to_make == ("/app", "/app/lib", "/app/lib/a", "/app/lib/none")
    assert plan.bytes == 8 + 3000 + 2
    assert (plan.to_delete, plan.unchanged) == ((), ())


async def test_of_a_hundred_files_changed_in_three_places_three_are_sent(
    session: DeviceSession, tmp_path: Path
) -> None:
    make(tmp_path, **{f"d{i % 10}__f{i}": f"content {i}" for i in range(100)})
    await session.files.sync(tmp_path)
    make(tmp_path, d1__f11="CONTENT 11", d2__f22="longer than before", d3__f33="")
    plan = await session.files.sync(tmp_path)
    assert sent(plan) == ["/d1/f11", "/d2/f22", "/d3/f33"]
    assert len(plan.unchanged) == 97
    there = await on_board(session)
    assert {path[1:]: content for path, content in there.items() if content is not None} == {
        name: (tmp_path / name).read_text() for name in (f"d{i % 10}/f{i}" for i in range(100))
    }


async def test_where_nothing_has_changed_it_is_one_round_trip(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, **{f"d{i % 10}__f{i}": f"content {i}" for i in range(100)})
    await session.files.sync(tmp_path, delete=True)
    received = []
    for delete in (False, True):
        before = session.statistics
        plan = await session.files.sync(tmp_path, delete=delete)
        assert plan.is_empty
        assert session.statistics.operations == before.operations + 1
        received.append(session.statistics.bytes_received - before.bytes_received)
    assert received[1] == received[0], "the board tells only what the host does not have"


async def test_a_board_with_little_memory_is_asked_in_portions(tmp_path: Path) -> None:
    make(tmp_path, **{f"{'d' * 200}{i % 5}__{'f' * 200}{i}": f"content {i}" for i in range(60)})
    async with DeviceSession("virtual:?memory=131072") as session:
        assert session.info.heap is not None
        assert session.info.heap.free // 16 < 60 * 400 // 3
        await session.files.sync(tmp_path, delete=True)
        await session.files.touch("/other")
        make(tmp_path, **{f"{'d' * 200}0__{'f' * 200}5": "changed"})
        plan = await session.files.sync(tmp_path, delete=True)
        assert len(plan.to_send) == 1
        assert plan.to_delete == ("/other",)
        assert len(plan.unchanged) == 59


async def test_five_hundred_small_files_on_a_board_whose_memory_fills_meanwhile(tmp_path: Path) -> None:
    # This board collects no garbage while code runs, so that what fits into the question does not fit into its work.
    make(tmp_path, **{f"d{i % 10}__f{i}": f"content {i}" for i in range(500)})
    async with DeviceSession("virtual:?memory=200000") as session:
        assert len((await session.files.sync(tmp_path)).to_send) == 500
        await session.files.touch("/d1/other")
        (tmp_path / "d1" / "f1").unlink()
        plan = await session.files.plan_sync(tmp_path, delete=True)
        assert (len(plan.unchanged), plan.to_send, plan.to_delete) == (499, (), ("/d1/f1", "/d1/other"))


async def test_nothing_is_deleted_unless_told_to(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, a="1", lib__b="2")
    await session.files.sync(tmp_path)
    make(tmp_path, old__sub__c="3", lib__old="4", old2=None)
    await session.files.sync(tmp_path)
    for name in ("old/sub/c", "lib/old"):
        (tmp_path / name).unlink()
    for name in ("old/sub", "old", "old2"):
        (tmp_path / name).rmdir()
    assert (await session.files.sync(tmp_path)).is_empty
    assert "/old/sub/c" in await on_board(session)
    plan = await session.files.sync(tmp_path, delete=True)
    assert plan.to_delete == ("/lib/old", "/old", "/old2")
    assert set(await on_board(session)) == {"/a", "/lib", "/lib/b"}


async def test_deleting_stays_below_the_target_and_leaves_alone_what_is_ignored(
    session: DeviceSession, tmp_path: Path
) -> None:
    files = session.files
    await files.mkdir("/app/data/deep", parents=True)
    await files.mkdir("/app/gone/__pycache__", parents=True)
    for path in ("/other", "/app/data/deep/log", "/app/x.log", "/app/gone/y", "/app/gone/__pycache__/z"):
        await files.touch(path)
    make(tmp_path, new="1")
    plan = await files.sync(tmp_path, "/app", delete=True, ignore=["data/", "*.log"])
    assert plan.to_delete == ("/app/gone/y",)
    assert set(await on_board(session)) >= {"/other", "/app/data/deep/log", "/app/x.log", "/app/gone/__pycache__/z"}


async def test_what_is_ignored_is_not_sent(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, **{"x.md": "1", "x.py": "2", "__pycache__/x.pyc": "3", ".git/config": "4", "doc/a.txt": "5"})
    plan = await session.files.sync(tmp_path, ignore=["*.md", "doc/"])
    assert sent(plan) == ["/x.py"]
    assert set(await on_board(session)) == {"/x.py"}


async def test_a_plan_changes_nothing(session: DeviceSession, tmp_path: Path) -> None:
    await session.files.touch("/old")
    make(tmp_path, lib__x="12345")
    for plan in (
        await session.files.plan_sync(tmp_path, delete=True),
        await session.files.sync(tmp_path, delete=True, dry_run=True),
    ):
        assert (plan.to_delete, plan.to_make, sent(plan), plan.bytes) == (("/old",), ("/lib",), ["/lib/x"], 5)
        assert plan.to_send[0].source == tmp_path / "lib" / "x"
    assert set(await on_board(session)) == {"/old"}


@pytest.mark.parametrize(
    ("there", "here", "kind"),
    [
        (["/x"], {"x__y": "1"}, RemoteNotADirectory),
        (["/x/", "/x/z"], {"x": "1"}, RemoteIsADirectory),
    ],
)
async def test_what_is_in_the_way_is_replaced_only_when_told_to(
    session: DeviceSession, tmp_path: Path, there: list[str], here: dict[str, str], kind: type[OSError]
) -> None:
    for path in there:
        await (session.files.mkdir(path[:-1]) if path.endswith("/") else session.files.touch(path))
    make(tmp_path, **here)
    with pytest.raises(kind, match="delete=True") as caught:
        await session.files.sync(tmp_path)
    assert caught.value.filename == "/x"
    assert set(await on_board(session)) == {path.rstrip("/") for path in there}
    plan = await session.files.sync(tmp_path, delete=True)
    assert (plan.to_replace, plan.to_delete) == (("/x",), ())
    assert {path for path, content in (await on_board(session)).items() if content is not None} == {
        f"/{name}".replace("__", "/") for name in here
    }


async def test_a_target_that_is_a_file_is_never_replaced(session: DeviceSession, tmp_path: Path) -> None:
    await session.files.touch("/app")
    make(tmp_path, x="1")
    with pytest.raises(RemoteNotADirectory):
        await session.files.sync(tmp_path, "/app", delete=True)
    assert await session.files.is_file("/app")


async def test_a_sync_that_was_cut_goes_on(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, a="1" * 100, b="2" * 100, c="3" * 100)

    class Cut(Exception):
        pass

    def cut(done: int, total: int | None) -> None:
        if done >= 200:
            raise Cut

    with pytest.raises(Cut):
        await session.files.sync(tmp_path, progress=cut)
    plan = await session.files.sync(tmp_path)
    assert 1 <= len(plan.unchanged) <= 2
    assert {path: content for path, content in (await on_board(session)).items() if content} == {
        "/a": "1" * 100,
        "/b": "2" * 100,
        "/c": "3" * 100,
    }


async def test_a_sync_goes_on_when_the_board_was_unplugged(tmp_path: Path) -> None:
    make(tmp_path, **{f"f{i}": f"{i}" * 2000 for i in range(9)})
    async with VirtualBoard() as board, DeviceSession(board.port, enable_auto_reconnect=False) as session:
        unplugging: list[asyncio.Task[None]] = []

        def unplug(done: int, total: int | None) -> None:
            if done >= 10_000 and not unplugging:
                unplugging.append(asyncio.get_running_loop().create_task(board.unplug()))

        with pytest.raises((Disconnected, OutcomeUnknown)):
            await session.files.sync(tmp_path, progress=unplug)
        await unplugging[0]
        await board.replug()
        await session.connect()
        plan = await session.files.sync(tmp_path)
        assert 5 <= len(plan.unchanged) < 9
        assert await on_board(session) == {f"/f{i}": f"{i}" * 2000 for i in range(9)}


async def test_what_a_cut_transfer_left_is_kept_for_the_next_one_and_else_deleted(
    session: DeviceSession, tmp_path: Path
) -> None:
    make(tmp_path, lib__a="1")
    await session.files.mkdir("/lib")
    for name in ("a", "b"):
        await session.files.touch(f"/lib/{part_name(name)}")
    plan = await session.files.plan_sync(tmp_path, delete=True)
    assert plan.to_delete == (f"/lib/{part_name('b')}",)


async def test_progress_counts_the_bytes_of_all_files(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, a="1" * 3000, b="2" * 4000, same="3")
    await session.execute("open('/same', 'w').write('3')")
    told: list[tuple[int, int | None]] = []
    await session.files.sync(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {7000}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == 7000


async def test_a_deadline_is_for_all_of_it(session: DeviceSession, tmp_path: Path) -> None:
    from belay_py import SessionTimeout

    make(tmp_path, a="1")
    with pytest.raises(SessionTimeout):
        await session.files.sync(tmp_path, timeout=0)
    await session.files.sync(tmp_path, timeout=60)
    assert set(await on_board(session)) == {"/a"}


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..") and not Ignore().fits(name, is_dir=True)
)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names of their own")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(NAMES, min_size=1, max_size=4), st.sets(NAMES, min_size=1, max_size=4))
def test_any_names_are_found_again(direct_board: BoardProcess, folders: set[str], names: set[str]) -> None:
    async def twice(folder: Path) -> None:
        async with DeviceSession(direct_board.port) as session:
            await session.files.sync(folder, "/any", delete=True)
            assert (await session.files.plan_sync(folder, "/any", delete=True)).is_empty
            found = {entry.path for entry in [entry async for entry in session.files.walk("/any")] if not entry.is_dir}
            assert found == {f"/any/{first}/{second}" for first in folders for second in names}

    with tempfile.TemporaryDirectory() as name:
        for first in folders:
            (Path(name) / first).mkdir()
            for second in names:
                (Path(name) / first / second).write_text(second)
        asyncio.run(twice(Path(name)))


# -- the host's files ---------------------------------------------------------------------------------------------


async def test_a_folder_that_is_not_there_is_told(session: DeviceSession, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="cannot read .*nowhere"):
        await session.files.sync(tmp_path / "nowhere")
    make(tmp_path, file="1")
    with pytest.raises(TransferError, match="cannot read .*file"):
        await session.files.sync(tmp_path / "file")
    for folder in (5, "", None):
        with pytest.raises(SettingsError, match="folder"):
            await session.files.sync(folder)  # type: ignore[arg-type]  # what is tested


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
async def test_links_to_files_are_followed_and_others_refused(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, shared__x="1", app__y="2")
    (tmp_path / "app" / "x").symlink_to(tmp_path / "shared" / "x")
    await session.files.sync(tmp_path / "app")
    assert await on_board(session) == {"/x": "1", "/y": "2"}
    (tmp_path / "app" / "shared").symlink_to(tmp_path / "shared")
    with pytest.raises(TransferError, match="shared is a link to a folder"):
        await session.files.sync(tmp_path / "app")
    await session.files.sync(tmp_path / "app", ignore=["shared"])
    (tmp_path / "app" / "broken").symlink_to("nothing")
    with pytest.raises(TransferError, match="broken is a link that leads nowhere"):
        await session.files.sync(tmp_path / "app", ignore=["shared"])


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs rights that are in force")
async def test_a_file_that_may_not_be_read_is_told(session: DeviceSession, tmp_path: Path) -> None:
    make(tmp_path, secret="1")
    await session.files.sync(tmp_path)
    (tmp_path / "secret").chmod(0)
    with pytest.raises(TransferError, match="cannot read .*secret"):
        await session.files.sync(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe with a name")
async def test_what_is_no_file_is_refused(session: DeviceSession, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferError, match="pipe is no file and no folder"):
        await session.files.sync(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
async def test_a_name_that_is_not_utf8_is_told(session: DeviceSession, tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_text("1")
    with pytest.raises(TransferError, match="not UTF-8"):
        await session.files.sync(tmp_path)


async def test_a_board_that_cannot_hash_is_told(tmp_path: Path) -> None:
    make(tmp_path, a="1")
    async with DeviceSession("virtual:") as session:
        await session.files.sync(tmp_path)
        await session.execute("import sys\nclass Nothing: pass\nsys.modules['hashlib'] = Nothing")
        with pytest.raises(NotSupported, match="sha256"):
            await session.files.sync(tmp_path)


async def test_a_full_board_is_told_with_the_file_that_did_not_fit(tmp_path: Path) -> None:
    make(tmp_path, a="1", b="2" * 100_000)
    async with DeviceSession("virtual:?storage=65536") as session:
        with pytest.raises(RemoteFileError) as caught:
            await session.files.sync(tmp_path)
        assert caught.value.filename == "/b"
        assert (await session.files.plan_sync(tmp_path)).unchanged == ("/a",)


async def test_deleting_comes_last_or_when_it_makes_the_room_that_is_needed(tmp_path: Path) -> None:
    async with DeviceSession("virtual:?storage=65536") as session:
        await session.files.write_bytes("/old", b"o" * 30_000)
        make(tmp_path, a="1" * 10_000, b="2" * 100_000)
        with pytest.raises(RemoteFileError):
            await session.files.sync(tmp_path, delete=False)
        assert await session.files.exists("/old")
        make(tmp_path, b="2" * 30_000, c="3" * 10_000)
        plan = await session.files.sync(tmp_path, delete=True)
        assert "/old" in plan.to_delete
        assert {entry.path: entry.size for entry in await session.files.list("/")} == {
            "/a": 10_000,
            "/b": 30_000,
            "/c": 10_000,
        }


async def test_where_nothing_can_be_sent_nothing_is_deleted(session: DeviceSession, tmp_path: Path) -> None:
    await session.files.touch("/old")
    make(tmp_path, a="1")

    def refuse(done: int, total: int | None) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await session.files.sync(tmp_path, delete=True, progress=refuse)
    assert await session.files.exists("/old")


# -- patterns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "left_alone", "not_"),
    [
        (["*.md"], ["a.md", "x/b.md"], ["a.mdx", "md"]),
        (["tests/"], ["tests/", "x/tests/", "x/tests/y"], ["tests", "x/tests"]),
        (["doc/*.txt"], ["doc/a.txt"], ["x/doc/a.txt", "doc/x/a.txt"]),
        (["/top"], ["top", "top/x"], ["x/top"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["a", "z", "x/a/z"]),
        (["**/z/*"], ["z/a", "a/b/z/c"], ["z"]),
        (["*", "!keep", "keep/no"], ["x", "a/b", "keep/no"], ["keep"]),
        (["[ab].py"], ["a.py", "x/b.py"], ["c.py"]),
        ([], ["__pycache__/x.pyc", "x/.git/config", ".DS_Store", "a.pyc"], ["git", "x.py", ".gitignore"]),
        (["!__pycache__/", "!*.pyc"], [], ["__pycache__/x.pyc"]),
    ],
)
def test_patterns_are_those_of_a_gitignore(patterns: list[str], left_alone: Iterable[str], not_: Iterable[str]) -> None:
    ignore = Ignore(patterns)
    for path in left_alone:
        assert ignore.fits(path.rstrip("/"), is_dir=path.endswith("/")), path
    for path in not_:
        assert not ignore.fits(path, is_dir=False), path


@pytest.mark.parametrize("patterns", ["*.md", [""], ["/"], ["!"], [5]])
def test_what_is_no_pattern_is_refused(patterns: list[str]) -> None:
    with pytest.raises(SettingsError, match="ignore"):
        Ignore(patterns)
