"""What the board's file system refuses, and what is no file to begin with, as errors that say what to do."""

from __future__ import annotations

import errno
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import (
    DeviceSession,
    NotSupported,
    RemoteFileError,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemoteNotADirectory,
    SettingsError,
    TransferError,
)
from belay_py.virtual import VirtualBoard

from .benches import names_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from belay_py.session.files.transfer import Encoding


@pytest.fixture
async def session() -> AsyncIterator[DeviceSession]:
    async with DeviceSession("virtual:?storage=20000") as session:
        await session.execute("import os\nos.mkdir('/folder')\nopen('/file','wb').close()")
        yield session


async def listing(session: DeviceSession, folder: str = "/") -> object:
    return sorted(await session.evaluate(f"__import__('os').listdir({folder!r})"))


@pytest.mark.parametrize("encoding", [None, "binary", "deflate+base64"])
async def test_a_full_file_system_leaves_the_old_file_and_no_part(
    session: DeviceSession, encoding: Encoding | None
) -> None:
    await session.files.put(b"old", "/folder/log")
    with pytest.raises(RemoteFileError, match="is full; remove files") as caught:
        await session.files.put(random.Random(0).randbytes(30_000), "/folder/log", encoding=encoding)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/folder/log")
    assert await session.files.get("/folder/log") == b"old"
    assert await listing(session, "/folder") == ["log"]
    await session.files.put(b"new", "/folder/log")
    assert await session.files.get("/folder/log") == b"new"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/missing/file", RemoteFileNotFound),
        ("/file/under", RemoteNotADirectory),
        ("/file/under/that", RemoteNotADirectory),
        ("/folder", RemoteIsADirectory),
        ("/folder/", RemoteIsADirectory),
        ("/", RemoteIsADirectory),
        (".", RemoteIsADirectory),
        ("missing/", RemoteIsADirectory),
    ],
)
async def test_no_place_for_a_file(session: DeviceSession, path: str, kind: type[RemoteFileError]) -> None:
    before = await listing(session)
    for size in (10, 10_000):  # with a question for a part, and without
        with pytest.raises(kind) as caught:
            await session.files.put(bytes(size), path)
        assert caught.value.filename == path
        assert caught.value.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
        assert isinstance(caught.value, kind.__mro__[2])  # the OSError of Python that it also is
        assert "\n" not in str(caught.value)
    assert await listing(session) == before
    assert await listing(session, "/folder") == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/missing", RemoteFileNotFound), ("/file/under", RemoteNotADirectory), ("/folder", RemoteIsADirectory)],
)
async def test_no_file_to_get(session: DeviceSession, tmp_path: Path, path: str, kind: type[RemoteFileError]) -> None:
    with pytest.raises(kind) as caught:
        await session.files.get(path)
    assert caught.value.filename == path
    with pytest.raises(kind):
        await session.files.get(path, tmp_path / "got")
    assert names_in(tmp_path) == []


async def test_names_that_cannot_be(session: DeviceSession, tmp_path: Path) -> None:
    for path in ("nul\0", "half \ud800"):
        with pytest.raises(RemoteFileError, match="choose another name") as caught:
            await session.files.put(b"", path)
        assert caught.value.errno == errno.EINVAL
    wrong: list[Any] = ["", 5, None, b"/file"]
    for path in wrong:
        with pytest.raises(SettingsError, match="path of a file on the board"):
            await session.files.put(b"", path)
        with pytest.raises(SettingsError, match="path of a file on the board"):
            await session.files.get(path)
    with pytest.raises(RemoteFileError, match="choose a shorter one") as caught:
        await session.files.put(b"", "/" + "x" * 256)
    assert caught.value.errno == errno.ENAMETOOLONG
    async with VirtualBoard(folder=tmp_path) as board, DeviceSession(board.port) as other:
        with pytest.raises(RemoteFileError) as caught:
            await other.files.put(bytes(20_000), "/" + "é" * 128)
        assert caught.value.errno == errno.ENAMETOOLONG
    assert names_in(tmp_path) == []


async def test_a_file_system_that_can_only_be_read(session: DeviceSession) -> None:
    # What a mount for reading raises where a file is opened for writing.
    await session.execute(
        "import io,builtins\nreal=builtins.open\n"
        "def no(path,mode='r'):\n if 'w' in mode:raise OSError(30)\n return real(path,mode)\n"
        "builtins.open=no"
    )
    try:
        with pytest.raises(RemoteFileError, match="can only be read") as caught:
            await session.files.put(b"1", "/file")
        assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "/file")
    finally:
        await session.execute("builtins.open=real")


async def test_sources_and_targets_on_this_computer_that_cannot_be(session: DeviceSession, tmp_path: Path) -> None:
    for source in (tmp_path / "missing", tmp_path):
        with pytest.raises(TransferError, match="cannot be read on this computer"):
            await session.files.put(source, "/x")
    with (tmp_path / "text").open("w+") as file, pytest.raises(SettingsError, match="open for reading bytes"):
        await session.files.put(file, "/x")  # type: ignore[arg-type]  # that is the point
    with os.scandir(os.fsencode(tmp_path)) as entries:
        wrong: list[Any] = [5, None, next(entries)]  # the last is a path of bytes
    for source in wrong:
        with pytest.raises(SettingsError, match="open for reading bytes"):
            await session.files.put(source, "/x")
    with pytest.raises(TransferError, match="cannot be written on this computer"):
        await session.files.get("/file", tmp_path / "missing" / "got")
    assert await listing(session) == ["file", "folder"]


async def test_arguments_that_cannot_be(session: DeviceSession, tmp_path: Path) -> None:
    files: Any = session.files
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: files.write_bytes("/file", "text"), "data is 'text'"),
        (lambda: files.write_text("/file", b"bytes"), "text is b'bytes'"),
        (lambda: files.write_text("/file", "", encoding=None), "encoding is None"),
        (lambda: files.read_text("/file", encoding=8), "encoding is 8"),
        (lambda: files.hash("/file", 256), "algorithm is 256"),
        (lambda: files.sync(tmp_path, ignore=5), "ignore is 5"),
        (lambda: files.sync(tmp_path, timeout="x"), "timeout is 'x'"),
        (lambda: files.plan_sync(tmp_path, timeout=-1), "timeout is -1"),
        (lambda: files.plan_sync(tmp_path, timeout=float("nan")), "timeout is nan"),
    ]
    for call, told in wrong:
        with pytest.raises(SettingsError, match=told):
            await call()
    with pytest.raises(TransferError, match="cannot read .*null byte"):
        await files.sync(f"{tmp_path}\0", "/")
    async with files.open("/file", "wb") as file:
        with pytest.raises(SettingsError, match="data is 'text'"):
            await file.write("text")
        assert await file.write(memoryview(b"abcdef")[::2]) == 3
    async with files.open("/file") as file:
        with pytest.raises(SettingsError, match="place is 'x'"):
            file.seek("x")
    assert await files.get("/file") == b"ace"


async def test_encodings_that_cannot_be() -> None:
    async with DeviceSession("virtual:", communication={"integrity": True}) as session:
        with pytest.raises(NotSupported, match="integrity"):
            await session.files.put(b"1", "/x", encoding="binary")
        with pytest.raises(SettingsError, match="encoding is 'hex'"):
            await session.files.put(b"1", "/x", encoding="hex")  # type: ignore[arg-type]  # that is the point


async def test_text_that_is_none(session: DeviceSession) -> None:
    await session.files.write_bytes("/file", b"\xff")
    with pytest.raises(TransferError, match="is no text in utf-8"):
        await session.files.read_text("/file")
    with pytest.raises(TransferError, match="cannot be written in ascii"):
        await session.files.write_text("/file", "é", encoding="ascii")
    with pytest.raises(TransferError, match="is no text in nonsense"):
        await session.files.read_text("/file", encoding="nonsense")
    assert await session.files.read_bytes("/file") == b"\xff"
