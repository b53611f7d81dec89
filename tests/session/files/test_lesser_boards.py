"""The code for boards that have less than the virtual one: no sha256, no base64, no binary stdout, a heap of 9 KB."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from belay_py import DeviceSession, NotSupported, TransferError
from belay_py.session.errands import Errand
from belay_py.session.files import abilities, boardside, sizes
from belay_py.session.files.encodings import Choice

SOME = random.Random(0).randbytes(9_000) + b"and text, " * 300 + bytes(range(256))


async def lessened(session: DeviceSession, **less: Any) -> abilities.Abilities:
    """Let a session believe that its board has less than it has."""
    found = dataclasses.replace(await abilities.abilities_of(Errand(session._operations, float("inf"))), **less)
    abilities._asked[session._standing] = session.boot_epoch, found
    return found


@pytest.mark.parametrize(
    "less",
    [
        {"letters": "cr", "binary_stdout": False},
        {"letters": "r", "binary_stdout": False},
        {"letters": "cear", "binary_stdout": False},
        {"letters": "scaezrb"},
        {"letters": "scaedrb", "free": 9_000},
        {"letters": "r", "free": 9_000, "binary_stdout": False},
        {"letters": "ar", "free": 9_000, "raw_paste": False, "window": 0},
    ],
    ids=lambda less: "-".join(map(str, less.values())),
)
async def test_a_board_with_less(less: dict[str, Any]) -> None:
    async with DeviceSession("virtual:?overrun=drop") as session:
        await lessened(session, **less)
        for content in (SOME, b"", b"\x03\x04'", SOME[:3073]):
            await session.files.put(content, "/x")
            assert await session.files.get("/x") == content
        # And what was damaged is found by the lesser hashes too.
        await session.files.put(SOME, "/x")
        await session.execute(
            "import builtins\nreal=builtins.open\n"
            "class Bad:\n"
            " def __init__(s,f):s.f=f\n"
            " def write(s,b):return s.f.write(bytes(b).replace(b'a',b'b'))\n"
            " def close(s):s.f.close()\n"
            "def bad(path,mode='r'):\n f=real(path,mode)\n return Bad(f) if 'w' in mode else f\n"
            "builtins.open=bad"
        )
        with pytest.raises(TransferError, match="came to the board damaged"):
            await session.files.put(SOME, "/x", encoding="literal")
        assert await session.files.get("/x") == SOME


async def test_what_a_board_has_is_asked_once() -> None:
    async with DeviceSession("virtual:") as session:
        found = await abilities.abilities_of(Errand(session._operations, float("inf")))
        assert (found.hash, found.inflate, found.base64, found.binary_stdin) == ("sha256", "deflate", True, True)
        before = session.statistics.operations
        assert await abilities.abilities_of(Errand(session._operations, float("inf"))) is found
        assert session.statistics.operations == before


async def test_a_board_that_cannot_rename() -> None:
    async with DeviceSession("virtual:") as session:
        await lessened(session, letters="s")
        with pytest.raises(NotSupported, match="no rename"):
            await session.files.put(b"", "/x")


@pytest.mark.parametrize("encoding", ["binary", "base64", "deflate+literal"])
async def test_an_encoding_that_the_board_has_not(encoding: Any) -> None:
    async with DeviceSession("virtual:") as session:
        await lessened(session, letters="r")
        with pytest.raises(NotSupported, match="leave encoding out"):
            await session.files.put(b"", "/x", encoding=encoding)


def test_what_is_chosen() -> None:
    full = abilities.Abilities("scaedzrb", raw_paste=True, window=128, free=100_000, binary_stdout=True)
    slow, fast = 0.5, 0.01  # seconds for 5,000 bytes
    choice = Choice.of(None, full, checked=False)
    assert choice.carrier == choice.after(5000, fast, 115_200).carrier == "literal"
    assert choice.after(5000, slow, 115_200).carrier == "binary"
    assert Choice.of(None, full, checked=True).after(5000, slow, 115_200).carrier == "literal"
    plain = dataclasses.replace(full, raw_paste=False, window=0)
    assert Choice.of(None, plain, checked=False).carrier == "binary"
    assert Choice.of(None, plain, checked=True).carrier == "base64"
    assert Choice.of("base64", full, checked=False).after(5000, slow, 115_200).carrier == "base64"


def test_small_boards_get_little_at_once_and_only_the_code_that_they_can_use() -> None:
    full = abilities.Abilities("scaedzrb", raw_paste=True, window=128, free=100_000, binary_stdout=True)
    small = dataclasses.replace(full, letters="r", free=9_000)
    assert sizes.most(small, "literal") < 1200
    assert sizes.most(full, "literal") == 8192
    assert sum(map(len, boardside.put_kit(small).parts)) < 0.7 * sum(map(len, boardside.put_kit(full).parts))


async def test_a_file_system_that_does_not_rename_onto_a_file() -> None:
    async with DeviceSession("virtual:") as session:
        await session.files.put(b"old", "/x")
        name = boardside.put_kit(await abilities.abilities_of(Errand(session._operations, float("inf")))).name
        await session.execute(
            "import os\n"
            "class Os:\n"
            " stat=os.stat\n"
            " remove=os.remove\n"
            " def rename(a,b):\n"
            "  if b[1:] in os.listdir('/'):raise OSError(17)\n"
            "  os.rename(a,b)\n"
            f"{name}['os']=Os"
        )
        await session.files.put(SOME, "/x")
        assert await session.files.get("/x") == SOME
        assert await session.evaluate("os.listdir('/')") == ["x"]


@pytest.mark.parametrize("memory", [65536, 131072])
async def test_a_file_that_becomes_much_larger_on_a_board_with_little_memory(memory: int) -> None:
    # The wasm port frees nothing before an execution ends: it may not inflate all of it in one.
    async with DeviceSession(f"virtual:?memory={memory}") as session:
        content = b"hello world " * 8000
        done = await session.files.put(content, "/x")
        assert done.encoding.startswith("deflate+")  # what carries it goes by the speed that is seen
        assert await session.files.get("/x") == content
