"""Looking at the board's folders and changing them, on real MicroPython."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from belay_py import (
    DeviceSession,
    DeviceSessionManager,
    DeviceSessionOptions,
    NotSupported,
    ProtocolViolation,
    RemoteFileError,
    RemoteFileExists,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemoteNotADirectory,
    SessionClosed,
    SettingsError,
)
from belay_py.session.files.board_code import LOOK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from belay_py.session.files import Files


@contextlib.asynccontextmanager
async def empty_board(port: str = "virtual:") -> AsyncIterator[DeviceSession]:
    async with DeviceSession(port) as session:
        for entry in await session.files.list("/"):
            await session.files.remove(entry.path, recursive=True)
        yield session


@pytest.fixture
async def session(port: str) -> AsyncIterator[DeviceSession]:
    """A session on a board without files."""
    async with empty_board(port) as session:
        yield session


async def make(session: DeviceSession, **files: str) -> None:
    """Make files, by the board's own means; two underscores stand for a slash, ``dir`` for a folder."""
    for name, content in files.items():
        path = "/" + name.replace("__", "/")
        code = f"import os; os.mkdir({path!r})" if content == "dir" else f"open({path!r}, 'w').write({content!r})"
        await session.execute(code)


async def test_a_folder_is_listed_by_name_with_kinds_and_sizes(session: DeviceSession) -> None:
    await make(session, lib="dir", lib__b="12345", a="", lib__sub="dir")
    root = await session.files.list("/")
    assert [(entry.name, entry.path, entry.is_dir, entry.size) for entry in root] == [
        ("a", "/a", False, 0),
        ("lib", "/lib", True, 0),
    ]
    assert [(entry.path, entry.is_dir, entry.size) for entry in await session.files.list("lib/")] == [
        ("lib/b", False, 5),
        ("lib/sub", True, 0),
    ]
    await session.execute("import os; os.chdir('/lib')")
    assert [entry.path for entry in await session.files.list()] == ["b", "sub"]
    await session.execute("import os; os.chdir('/')")


async def test_a_walk_comes_to_every_file_once_and_to_folders_first(session: DeviceSession) -> None:
    code = "import os\nfor i in range(6):\n os.mkdir('/d%d' % i)\n for k in range(60): open('/d%d/%d' % (i, k), 'w')"
    await session.execute(code)
    await make(session, d3__in="dir", d3__in__deep="x")
    before = session.statistics.operations
    walked = [entry async for entry in session.files.walk("/")]
    paths = [entry.path for entry in walked]
    assert len(paths) == len(set(paths)) == 6 + 360 + 2
    assert ("/d3/in/deep", 1) in [(entry.path, entry.size) for entry in walked]
    assert all(paths.index(path.rpartition("/")[0]) < paths.index(path) for path in paths if path.count("/") > 1)
    # The kit may have to be sent first; then small folders are asked for together, and not all in one execution.
    assert session.statistics.operations - before < 7 + len(LOOK.parts)
    before = session.statistics.operations
    assert len([entry async for entry in session.files.walk("/")]) == len(paths)
    assert session.statistics.operations - before == 2
    assert [entry.path async for entry in session.files.walk("d3/in")] == ["d3/in/deep"]


async def test_what_a_path_is(session: DeviceSession) -> None:
    files = session.files
    await make(session, lib="dir", lib__x="abc")
    found = await files.stat("/lib/x")
    assert (found.name, found.path, found.is_dir, found.size) == ("x", "/lib/x", False, 3)
    assert (await files.stat("lib")).is_dir
    assert (await files.stat("/")).is_dir
    answers = [
        [await ask(path) for ask in (files.exists, files.is_dir, files.is_file)] for path in ("/lib", "/lib/x", "/no")
    ]
    assert answers == [[True, True, False], [True, False, True], [False, False, False]]
    assert not await files.exists("/lib/x/y")


async def test_folders_are_made(session: DeviceSession) -> None:
    files = session.files
    await files.mkdir("a")
    await files.mkdir("/a/b/c/d", parents=True)
    assert await files.is_dir("/a/b/c/d")
    await files.mkdir("/a/b", exist_ok=True)
    await files.mkdir("/a/b", parents=True, exist_ok=True)
    with pytest.raises(RemoteFileExists):
        await files.mkdir("/a/b", parents=True)
    with pytest.raises(RemoteFileNotFound) as caught:
        await files.mkdir("/no/b")
    assert caught.value.filename == "/no/b"
    await make(session, file="x")
    with pytest.raises(RemoteFileExists):
        await files.mkdir("/file", exist_ok=True)
    with pytest.raises(RemoteFileError) as other:
        await files.mkdir("/file/b/c", parents=True)
    assert other.value.filename == "/file", "the path that is in the way"


async def test_renaming_moves_and_replaces(session: DeviceSession) -> None:
    files = session.files
    await make(session, a="dir", b="dir", a__x="new", b__x="old")
    await files.rename("/a/x", "/b/x")
    assert (await session.execute("print(open('/b/x').read())")).output == "new\n"
    assert not await files.exists("/a/x")
    await files.rename("/b", "/a/c")
    assert await files.exists("/a/c/x")
    with pytest.raises(RemoteFileNotFound) as caught:
        await files.rename("/no", "/a/y")
    assert caught.value.filename == "/no"
    with pytest.raises(RemoteFileNotFound) as caught:
        await files.rename("/a/c/x", "/no/y")
    assert caught.value.filename == "/no/y"


async def test_removing_takes_folders_only_when_told_to(session: DeviceSession) -> None:
    files = session.files
    await make(session, d="dir", d__e="dir", d__e__x="1", d__f="dir", d__y="2", keep="3")
    with pytest.raises(RemoteIsADirectory):
        await files.remove("/d")
    await files.remove("/d/y")
    await files.remove("/d", recursive=True)
    assert [entry.name for entry in await files.list("/")] == ["keep"]
    await files.remove("/keep", recursive=True)
    await files.remove("/keep", missing_ok=True)
    with pytest.raises(RemoteFileNotFound):
        await files.remove("/keep", recursive=True)
    for root in ("/", "//", "."):
        with pytest.raises(SettingsError, match="whole file system"):
            await files.remove(root, recursive=True)


async def test_touch_makes_a_file_and_keeps_what_is_in_one(session: DeviceSession) -> None:
    await session.files.touch("/new")
    assert (await session.files.stat("/new")).size == 0
    await make(session, old="kept")
    await session.files.touch("/old")
    assert (await session.files.stat("/old")).size == 4
    await session.files.touch("/")
    with pytest.raises(RemoteFileNotFound):
        await session.files.touch("/no/new")


async def test_the_room_that_is_left() -> None:
    async with DeviceSession("virtual:?storage=65536") as session:
        before = await session.files.free_space()
        assert (before.total, before.used + before.free) == (65536, 65536)
        await session.execute("open('/x', 'w').write('x' * 10000)")
        after = await session.files.free_space("/x")
        assert before.free - after.free in range(8192, 16385), "in blocks"


async def test_a_hash_is_of_the_whole_file(session: DeviceSession) -> None:
    import hashlib

    await session.execute("open('/x', 'wb').write(bytes(range(256)) * 20)")
    assert await session.files.hash("/x") == hashlib.sha256(bytes(range(256)) * 20).hexdigest()
    await session.files.touch("/empty")
    assert await session.files.hash("/empty") == hashlib.sha256().hexdigest()
    with pytest.raises(RemoteIsADirectory):
        await session.files.hash("/")
    with pytest.raises(NotSupported, match="md5"):
        await session.files.hash("/x", "md5")
    with pytest.raises(SettingsError):
        await session.files.hash("/x", "sha-256")


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda files: files.list("/no"), RemoteFileNotFound),
        (lambda files: files.list("/file"), RemoteNotADirectory),
        (lambda files: files.stat("/no"), RemoteFileNotFound),
        (lambda files: files.hash("/no"), RemoteFileNotFound),
        (lambda files: files.mkdir("/file/x"), RemoteNotADirectory),
        (lambda files: files.remove("/rom", recursive=True), RemoteFileError),
    ],
)
async def test_a_refusal_is_an_oserror_of_the_right_kind_and_path(
    session: DeviceSession, call: Callable[[Files], Coroutine[object, object, object]], kind: type[RemoteFileError]
) -> None:
    await make(session, file="x")
    with pytest.raises(kind) as caught:
        await call(session.files)
    assert isinstance(caught.value, OSError)
    assert str(caught.value.filename).startswith(("/no", "/file", "/rom"))
    assert caught.value.errno in errno.errorcode
    assert await session.files.is_file("/file"), "the session goes on"


async def test_each_question_is_one_round_trip(session: DeviceSession) -> None:
    files = session.files
    await make(session, lib="dir")
    calls: list[Callable[[], Coroutine[object, object, object]]] = [
        lambda: files.list("/"),
        lambda: files.stat("/lib"),
        lambda: files.exists("/no"),
        lambda: files.mkdir("/a/b/c", parents=True),
        lambda: files.rename("/a", "/z"),
        lambda: files.remove("/z", recursive=True),
        lambda: files.touch("/new"),
        files.free_space,
    ]
    for call in calls:
        before = session.statistics.operations
        await call()
        assert session.statistics.operations == before + 1


async def test_the_kit_is_sent_again_after_a_reset_and_after_its_name_was_taken(session: DeviceSession) -> None:
    await session.files.list("/")
    await session.soft_reset()
    await session.files.list("/")
    await session.execute(f"del {LOOK.name}")
    await session.files.list("/")


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)


async def test_any_name_is_told_as_it_is() -> None:
    async with DeviceSession("virtual:") as session:

        @settings(max_examples=60, deadline=None)
        @given(st.sets(NAMES, min_size=1, max_size=5))
        def names(names: set[str]) -> None:
            collected.append(names)

        collected: list[set[str]] = []
        names()
        for number, some in enumerate(collected):
            folder = f"/{number}"
            await session.files.mkdir(folder)
            for name in some:
                await session.files.touch(f"{folder}/{name}")
            assert {entry.name for entry in await session.files.list(folder)} == some
            assert {entry.path async for entry in session.files.walk(folder)} == {f"{folder}/{name}" for name in some}
            for name in some:
                await session.files.rename(f"{folder}/{name}", f"{folder}/{name}x")
                assert (await session.files.stat(f"{folder}/{name}x")).name == f"{name}x"
                await session.files.remove(f"{folder}/{name}x")
            assert await session.files.list(folder) == []


@pytest.mark.parametrize("path", ["", 5, None, b"/x", "a\0b", "\udc80"])
async def test_what_is_no_path_is_refused_here(session: DeviceSession, path: str) -> None:
    before = session.statistics.operations
    for ask in (session.files.stat, session.files.exists, session.files.mkdir, session.files.remove):
        with pytest.raises((SettingsError, RemoteFileError)):
            await ask(path)
    assert session.statistics.operations == before


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("ilistdir", lambda files: files.list("/")),
        ("statvfs", lambda files: files.free_space()),
        ("stat", lambda files: files.stat("/")),
    ],
)
async def test_a_board_whose_os_lacks_something_is_told(
    missing: str, call: Callable[[Files], Coroutine[object, object, object]]
) -> None:
    async with DeviceSession("virtual:") as session:
        await session.execute(f"import os\ndel os.{missing}")
        with pytest.raises(NotSupported, match=missing):
            await call(session.files)
        assert (await session.execute("print(1)")).output == "1\n"


async def test_a_board_without_hashlib_is_told() -> None:
    async with DeviceSession("virtual:") as session:
        await session.execute("import sys\nclass Nothing: pass\nsys.modules['hashlib'] = Nothing\nopen('/x', 'w')")
        with pytest.raises(NotSupported, match="sha256"):
            await session.files.hash("/x")


async def test_something_else_that_prints_meanwhile_is_noticed(session: DeviceSession) -> None:
    await session.files.touch("/x")
    await session.execute(f"say = {LOOK.name}.say\ndef say_more(*x):\n say(*x)\n print('(1, True, 2)')")
    await session.execute(f"{LOOK.name}.say = say_more")
    with pytest.raises(ProtocolViolation, match="printed while it answered"):
        await session.files.list("/")
    await session.execute(f"{LOOK.name}.say = say")
    assert [entry.name for entry in await session.files.list("/")] == ["x"]


async def test_files_of_a_managed_session_work_within_a_lease_and_outside_and_not_after_it() -> None:
    async with DeviceSessionManager() as manager:
        free = await manager.create_session("sensor", DeviceSessionOptions(port="virtual:"))
        async with manager.lease("sensor") as session:
            await session.files.touch("/x")
            assert [entry.name for entry in await session.files.list("/")] == ["x"]
            assert [entry.path async for entry in session.files.walk("/")] == ["/x"]
        with pytest.raises(SessionClosed, match="lease"):
            await session.files.list("/")
        assert [entry.name for entry in await free.files.list("/")] == ["x"]


@pytest.mark.parametrize("path", ["/", "//", ".", "..", "/.", "/lib/..", "lib/../..", "/lib/sub/../../"])
async def test_no_way_of_writing_it_removes_everything(path: str) -> None:
    async with DeviceSession("virtual:") as session:
        await session.files.mkdir("/lib/sub", parents=True)
        with pytest.raises(SettingsError, match="whole file system"):
            await session.files.remove(path, recursive=True)
        assert await session.files.is_dir("/lib/sub")
        await session.files.remove("/lib/../lib/sub", recursive=True)
        assert await session.files.list("/lib") == []
