"""This computer's side of a transfer: what stands at a target, disks that are full, names that are no text."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, RemoteFileError, RemoteIsADirectory, SessionTimeout, SettingsError, TransferError

from .benches import names_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

not_windows = pytest.mark.skipif(sys.platform == "win32", reason="pipes, limits and names as POSIX has them")


@pytest.fixture
async def session() -> AsyncIterator[DeviceSession]:
    async with DeviceSession("virtual:") as session:
        await session.files.write_bytes("/file", b"new")
        yield session


@not_windows
async def test_a_pipe_stays_a_pipe(session: DeviceSession, tmp_path: Path) -> None:
    # So do devices: renaming a file onto /dev/null would take it from the whole system.
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(TransferError, match="a device or a pipe"):
            await session.files.get("/file", target)
        if target.name == "pipe":
            (tmp_path / "link").symlink_to(target)
    assert (tmp_path / "pipe").is_fifo()
    assert names_in(tmp_path) == ["link", "pipe"]


@not_windows
async def test_a_source_that_waits_for_its_writer_holds_up_nobody(session: DeviceSession, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SessionTimeout, match="nothing was sent; .* give timeout="):
        await session.files.put(pipe, "/x", timeout=0.02)
    task = asyncio.create_task(session.files.put(pipe, "/x"))
    assert await session.evaluate("1 + 1") == 2
    task.cancel()
    await asyncio.wait([task])
    task = asyncio.create_task(session.files.put(pipe, "/x"))
    while not task.done():  # each of the three readers opens it at a time of its own, and sees an end
        _open_and_close(pipe)
        await asyncio.sleep(0)
    assert (await task).size == 0
    _open_and_close(pipe)


def _open_and_close(pipe: Path) -> None:
    with contextlib.suppress(OSError):  # nobody reads it at the moment
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


@not_windows
async def test_a_source_without_a_writer_is_not_waited_for_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with DeviceSession("virtual:", operation_timeout=0.5) as session:
        with pytest.raises(SessionTimeout, match="was not read to its end"):
            await session.files.put(tmp_path / "pipe", "/x")
    _open_and_close(tmp_path / "pipe")


@not_windows
async def test_a_link_stays_a_link(session: DeviceSession, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    await session.files.get("/file", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@not_windows
@pytest.mark.parametrize("size", [20_000, 4_001], ids=["while it comes", "at its end"])
async def test_a_disk_that_is_full(session: DeviceSession, tmp_path: Path, size: int) -> None:
    import resource

    await session.files.write_bytes("/large", bytes(size))
    (tmp_path / "got").write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))
    try:
        with pytest.raises(TransferError, match="got' cannot be written on this computer: .*File too large"):
            await session.files.get("/large", tmp_path / "got")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_in(tmp_path) == ["got"]
    assert (tmp_path / "got").read_bytes() == b"old"
    assert await session.files.get("/file") == b"new"


async def test_targets_that_cannot_be(session: DeviceSession, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="there is no folder"):
        await session.files.get("/file", f"{tmp_path}/missing/")
    (tmp_path / "file").mkdir()
    with pytest.raises(TransferError, match="is a folder"):
        await session.files.get("/file", tmp_path)
    wrong: list[Any] = [5, b"got", "", (tmp_path / "file").open]
    for target in wrong:
        with pytest.raises(SettingsError, match="path of a file or a folder"):
            await session.files.get("/file", target)
    for source in ("/", "/lib/..", "."):
        with pytest.raises(RemoteIsADirectory):
            await session.files.get(source, tmp_path)
    assert names_in(tmp_path) == ["file"]


@not_windows
async def test_a_source_whose_name_is_no_text(session: DeviceSession, tmp_path: Path) -> None:
    local = tmp_path / os.fsdecode(b"\xff.txt")
    try:
        local.write_bytes(b"content")
    except OSError:
        pytest.skip("this file system takes text only")
    await session.files.mkdir("/folder")
    assert (await session.files.put(local, "/named")).path == "/named"
    with pytest.raises(RemoteFileError, match="choose another name") as caught:
        await session.files.put(local, "/folder/")
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(RemoteIsADirectory):
        await session.files.put(local, "/folder")
    assert await session.files.get("/named") == b"content"
