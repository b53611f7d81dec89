"""Files on the official Pico firmware: littlefs on an emulated flash, 128-byte windows, and a heap of 190 KB."""

from __future__ import annotations

import asyncio
import errno
import random
from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession, RemoteFileError, RemoteFileNotFound, RemoteIsADirectory
from belay_py.session.files.paths import part_name

if TYPE_CHECKING:
    from pathlib import Path

    from belay_py.session.files.transfer import Encoding

SOME = random.Random(0).randbytes(12_000) + b"and text, " * 400


@pytest.mark.parametrize("encoding", [None, "binary", "literal", "base64", "deflate+binary", "deflate+literal"])
async def test_put_and_get(pico_port: str, encoding: Encoding | None) -> None:
    async with DeviceSession(pico_port, operation_timeout=60) as session:
        done = await session.files.put(SOME, "/some.bin", encoding=encoding)
        assert done.size == len(SOME)
        assert await session.files.get("/some.bin") == SOME
        assert (await session.files.put(b"short", "/some.bin")).size == 5
        assert await session.files.get("/some.bin") == b"short"


async def test_refusals_and_names(pico_port: str) -> None:
    async with DeviceSession(pico_port, operation_timeout=60) as session:
        await session.execute("import os\nos.mkdir('/folder')")
        with pytest.raises(RemoteFileNotFound):
            await session.files.put(b"", "/missing/x")
        with pytest.raises(RemoteIsADirectory):
            await session.files.put(b"", "/folder")
        with pytest.raises(RemoteFileNotFound):
            await session.files.get("/missing")
        name = '/folder/it\'s "so" 温度.txt'
        await session.files.put(b"1", name)
        assert await session.files.get(name) == b"1"
        await session.execute("for n in os.listdir('/folder'):os.remove('/folder/'+n)\nos.rmdir('/folder')")


async def test_cancelled_half_way(pico_port: str) -> None:
    async with DeviceSession(pico_port, operation_timeout=60) as session:
        await session.files.put(b"old", "/some.bin")
        encodings: list[Encoding] = ["binary", "literal"]
        for encoding in encodings:
            reached = asyncio.Event()

            def progress(done: int, total: int | None, reached: asyncio.Event = reached) -> None:
                if done > 6000:
                    reached.set()

            task = asyncio.create_task(session.files.put(SOME, "/some.bin", encoding=encoding, progress=progress))
            await reached.wait()
            task.cancel()
            await asyncio.wait([task])
            assert await session.files.get("/some.bin") == b"old"
            if encoding == "binary":  # what was stopped has closed the part, and littlefs keeps what is closed
                await session.hard_reset()
                assert await session.evaluate(f"__import__('os').stat('/{part_name('some.bin')}')[6]") > 4000
        done = await session.files.put(SOME, "/some.bin")
        assert done.resumed_from > 4000
        assert await session.files.get("/some.bin") == SOME
        assert "~" not in "".join(await session.evaluate("__import__('os').listdir('/')"))


RAM_DISK = """
import os
class Disk:
 def __init__(s,n):s.d=bytearray(512*n)
 def readblocks(s,n,b,o=0):b[:]=memoryview(s.d)[n*512+o:n*512+o+len(b)]
 def writeblocks(s,n,b,o=0):s.d[n*512+o:n*512+o+len(b)]=b
 def ioctl(s,op,a):
  if op==4:return len(s.d)//512
  if op==5:return 512
  return 0
disk=Disk(80)
os.VfsFat.mkfs(disk)
os.mount(os.VfsFat(disk),'/fat')
"""


async def test_on_fat(pico_port: str, tmp_path: Path) -> None:
    async with DeviceSession(pico_port, operation_timeout=60) as session:
        await session.execute(RAM_DISK)
        for content in (b"old", SOME[:9_000], b"new"):
            await session.files.put(content, "/fat/Some long name.txt")
            assert await session.files.get("/fat/Some long name.txt") == content
        assert await session.evaluate("os.listdir('/fat')") == ["Some long name.txt"]
        # To FAT "SOME long name.txt" is the same file: what a sync has found there it does not delete.
        (tmp_path / "SOME long name.txt").write_bytes(b"new")
        plan = await session.files.sync(tmp_path, "/fat", delete=True)
        assert plan.is_empty
        assert await session.evaluate("os.listdir('/fat')") == ["Some long name.txt"]
        with pytest.raises(RemoteFileError, match="does not take this name") as caught:
            await session.files.put(b"", "/fat/what?.txt")
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(RemoteFileError, match="is full") as caught:
            await session.files.put(random.Random(0).randbytes(50_000), "/fat/Some long name.txt")
        assert caught.value.errno == errno.ENOSPC
        assert await session.files.get("/fat/Some long name.txt") == b"new"
        assert await session.evaluate("os.listdir('/fat')") == ["Some long name.txt"]
        await session.execute("os.umount('/fat')\nos.mount(os.VfsFat(disk),'/fat',readonly=True)")
        with pytest.raises(RemoteFileError, match="can only be read") as caught:
            await session.files.put(b"", "/fat/x")
        assert caught.value.errno == errno.EROFS
        await session.execute("os.umount('/fat')\ndel disk")
