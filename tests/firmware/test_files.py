"""Files on the official Pico firmware: littlefs on an emulated flash, 128-byte windows, and a heap of 190 KB."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession, RemoteFileNotFound, RemoteIsADirectory

if TYPE_CHECKING:
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
        done = await session.files.put(SOME, "/some.bin")
        assert done.resumed_from > 4000
        assert await session.files.get("/some.bin") == SOME
        assert "~" not in "".join(await session.evaluate("__import__('os').listdir('/')"))
