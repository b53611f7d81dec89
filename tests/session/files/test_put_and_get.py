"""Putting and getting: where from and where to, what is told meanwhile, and what it costs."""

from __future__ import annotations

import asyncio
import io
import random
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceSession, DeviceSessionManager, RetryOptions, TransferError
from belay_py.session.files.transfer import ENCODINGS

from .benches import names_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from belay_py.session.files.transfer import Encoding

SOME = random.Random(0).randbytes(30_000)


@pytest.fixture
async def session(direct_board: Any) -> AsyncIterator[DeviceSession]:
    async with DeviceSession(direct_board.port) as session:
        await session.execute(
            "import os\nfor n in os.listdir('/'):\n if n!='dev':\n  try:os.remove('/'+n)\n  except OSError:pass"
        )
        yield session


async def test_sources_and_targets(session: DeviceSession, tmp_path: Path) -> None:
    files = session.files
    await session.execute("try:os.mkdir('/into')\nexcept OSError:pass")
    local = tmp_path / "a b.bin"
    local.write_bytes(SOME)
    assert (await files.put(local, "/x")).path == "/x"
    assert (await files.put(str(local), "/into")).path == "/into/a b.bin"
    assert (await files.put(local, "/into/")).path == "/into/a b.bin"
    assert (await files.put(local, "relative")).path == "relative"
    with local.open("rb") as file:
        file.seek(10)
        assert (await files.put(file, "/into")).path == "/into/a b.bin"
    assert await files.get("/into/a b.bin") == SOME[10:]
    assert (await files.put(io.BytesIO(SOME), "/from-memory")).size == len(SOME)
    for data in (b"1", bytearray(b"1"), memoryview(b"12")[:1]):
        await files.put(data, "/x")
        assert await files.get("/x") == b"1"
    assert await files.get("/relative") == await files.get("/from-memory") == SOME

    got = await files.get("/relative", tmp_path)
    assert ((tmp_path / "relative").read_bytes(), got.path, got.size) == (SOME, "/relative", len(SOME))
    await files.get("/relative", str(tmp_path / "named"))
    assert (tmp_path / "named").read_bytes() == SOME
    assert names_in(tmp_path) == ["a b.bin", "named", "relative"]


async def test_text_and_bytes(session: DeviceSession) -> None:
    files = session.files
    await files.write_text("/x", "Größe\r\n")
    assert await files.read_text("/x") == "Größe\r\n"
    assert await files.read_bytes("/x") == "Größe\r\n".encode()
    await files.write_text("/x", "é", encoding="latin-1")
    assert await files.read_bytes("/x") == b"\xe9"
    assert await files.read_text("/x", encoding="latin-1") == "é"
    await files.write_bytes("/x", bytearray(b"\0"))
    assert await files.read_bytes("/x") == b"\0"


async def test_a_small_put_and_a_small_get_are_one_round_trip(session: DeviceSession) -> None:
    await session.files.put(b"1", "/x")
    await session.files.get("/x")
    before = session.statistics.operations
    await session.files.put(b"22", "/x")
    assert session.statistics.operations == before + 1
    assert await session.files.get("/x") == b"22"
    assert session.statistics.operations == before + 2


async def test_a_file_that_compresses_is_deflated_and_others_are_not(session: DeviceSession) -> None:
    text = await session.files.put(b"all work and no play\n" * 500, "/x")
    assert text.encoding.startswith("deflate+")
    assert text.sent < 1000
    assert not (await session.files.put(SOME, "/x")).encoding.startswith("deflate+")
    mixed = b"0" * 8192 + SOME[:8192]
    await session.files.put(mixed, "/x")
    assert await session.files.get("/x") == mixed


async def test_without_verification(session: DeviceSession) -> None:
    await session.files.put(SOME, "/x", verify=False)
    assert await session.files.get("/x") == SOME


@pytest.mark.parametrize("silent", [False, True])
async def test_what_comes_damaged_never_takes_the_place_of_what_was_there(session: DeviceSession, silent: bool) -> None:
    await session.files.put(b"old", "/x")
    # A flash that does not keep what it is given.
    await session.execute(
        "import builtins\nreal=builtins.open\n"
        "class Bad:\n"
        " def __init__(s,f):s.f=f\n"
        " def write(s,b):return s.f.write(bytes(len(b)))\n"
        " def close(s):s.f.close()\n"
        "def bad(path,mode='r'):\n f=real(path,mode)\n return Bad(f) if 'w' in mode else f\n"
        "builtins.open=bad"
    )
    if silent:  # as on a wire that eats the board's answer
        await session.execute("said=builtins.print\nbuiltins.print=lambda *a:None")
    try:
        with pytest.raises(TransferError, match="answer .* was damaged" if silent else "came to the board damaged"):
            await session.files.put(SOME[:8000] if silent else SOME, "/x")
    finally:
        await session.execute("builtins.open=real\nif 'said' in globals():builtins.print=said;del said")
    assert await session.files.get("/x") == b"old"
    assert "~" not in "".join(await session.evaluate("os.listdir('/')"))


async def test_a_file_that_changes_while_it_is_got_is_an_error(session: DeviceSession) -> None:
    await session.files.put(SOME, "/x")
    await session.execute(
        "import builtins\nreal=builtins.open\n"
        "def shrink(path,mode='r'):\n f=real('/x','wb')\n f.write(b'short')\n f.close()\n return real(path,mode)\n"
        "builtins.open=shrink"
    )
    try:
        with pytest.raises(TransferError, match="or was changed on the board"):
            await session.files.get("/x")
    finally:
        await session.execute("builtins.open=real")


@pytest.mark.parametrize(
    "piece", [b"\x04", b"\x04>", b"\x04\x04>", b">", b"\x04Traceback", b"raw REPL; CTRL-B\r\n>", b"~1;"]
)
async def test_getting_what_looks_like_the_end_of_a_response(session: DeviceSession, piece: bytes) -> None:
    content = piece * (20_000 // len(piece))
    await session.files.put(content, "/x")
    assert await session.files.get("/x") == content
    assert (await session.execute("print(1)")).output == "1\n"


async def test_programs_that_take_names_away_change_nothing() -> None:
    async with DeviceSession("virtual:") as session:
        await session.execute("open=len=print=memoryview=bytes=bytearray=min=hasattr=getattr=os=sys=None")
        await session.files.put(SOME, "/x")
        assert await session.files.get("/x") == SOME


async def test_code_of_ours_that_came_damaged_is_sent_anew() -> None:
    async with DeviceSession("virtual:") as session:
        await session.files.put(SOME, "/x")
        await session.files.get("/x")
        await session.execute("for n in list(globals()):\n if n.startswith('_belay_'):globals()[n].clear()")
        for work in (lambda: session.files.put(SOME, "/y"), lambda: session.files.get("/x")):
            with pytest.raises(TransferError, match="do it again"):
                await work()
            await work()
        assert await session.files.get("/y") == SOME


async def test_code_of_ours_for_folders_that_was_damaged_is_sent_anew(tmp_path: Path) -> None:
    async with DeviceSession("virtual:") as session:
        files = session.files
        await files.put(SOME, "/x")
        (tmp_path / "x").write_bytes(SOME)
        for work in (lambda: files.list("/"), lambda: files.hash("/x"), lambda: files.plan_sync(tmp_path, "/")):
            before = await work()
            for damage in ("del globals()[n].run", "del globals()[n].os"):
                await session.execute(
                    "for n in list(globals()):\n if n.startswith('_belay_'):\n"
                    f"  try:{damage}\n  except AttributeError:pass"
                )
                with pytest.raises(TransferError, match="do it again"):
                    await work()
                assert await work() == before


async def test_a_soft_reset_in_between(session: DeviceSession) -> None:
    await session.files.put(SOME, "/x")
    await session.files.get("/x")
    await session.soft_reset()
    assert await session.files.get("/x") == SOME
    await session.soft_reset()
    await session.files.put(b"1", "/x")
    # And one that nobody sees: the kits are gone, and the next call has to find out.
    await session.execute("for n in list(globals()):\n if n.startswith('_belay_'):del globals()[n]")
    await session.files.put(SOME, "/x")
    assert await session.files.get("/x") == SOME


@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
async def test_progress(session: DeviceSession, encoding: Encoding | None) -> None:
    seen: list[tuple[int, int | None]] = []
    await session.files.put(SOME, "/x", encoding=encoding, progress=lambda *each: seen.append(each))
    assert seen[0] == (0, len(SOME))
    assert seen[-1] == (len(SOME), len(SOME))
    assert len(seen) > 5
    assert seen == sorted(seen)


class EnoughError(Exception):
    """What a progress callback raises."""


@pytest.mark.parametrize("encoding", [None, *ENCODINGS])
async def test_what_progress_raises_ends_the_transfer(
    session: DeviceSession, encoding: Encoding | None, tmp_path: Path
) -> None:
    await session.files.put(b"old", "/x")

    def enough(done: int, total: int | None) -> None:
        if done > 10_000:
            raise EnoughError

    with pytest.raises(EnoughError):
        await session.files.put(SOME, "/x", encoding=encoding, progress=enough)
    assert await session.files.get("/x") == b"old"
    done = await session.files.put(SOME, "/x", encoding=encoding)
    assert done.resumed_from > 0
    with pytest.raises(EnoughError):
        await session.files.get("/x", tmp_path / "got", progress=enough)
    assert names_in(tmp_path) == []
    assert await session.files.get("/x") == SOME


async def test_a_part_of_other_content_is_not_gone_on_from(session: DeviceSession) -> None:
    def enough(done: int, total: int | None) -> None:
        if done > 10_000:
            raise EnoughError

    with pytest.raises(EnoughError):
        await session.files.put(SOME, "/x", progress=enough)
    other = SOME[::-1]
    assert (await session.files.put(other, "/x")).resumed_from == 0
    assert await session.files.get("/x") == other
    with pytest.raises(EnoughError):
        await session.files.put(SOME, "/x", progress=enough)
    assert (await session.files.put(SOME[:9000], "/x")).resumed_from == 0
    assert await session.files.get("/x") == SOME[:9000]
    assert "~" not in "".join(await session.evaluate("__import__('os').listdir('/')"))


@pytest.mark.parametrize("encoding", [None, "literal", "deflate+base64"])
async def test_in_integrity_mode(encoding: Encoding | None) -> None:
    async with DeviceSession("virtual:?overrun=drop", communication={"integrity": True}) as session:
        content = SOME + b"text " * 2000
        done = await session.files.put(content, "/x", encoding=encoding)
        assert "binary" not in done.encoding
        assert await session.files.get("/x") == content


async def test_with_plain_framing() -> None:
    async with DeviceSession("virtual:?overrun=drop", communication={"framing": "plain"}) as session:
        content = SOME + b"\x04\x04>" * 100  # a plain response is taken at its word
        await session.files.put(content, "/x")
        assert await session.files.get("/x") == content


async def test_through_a_lease_with_retries(direct_board: Any) -> None:
    async with DeviceSessionManager() as manager:
        session = await manager.create_session("sensor", direct_board.port, retry=RetryOptions(max_attempts=3))
        async with manager.lease("sensor") as mine:
            await mine.files.put(SOME, "/leased")
            assert await mine.files.get("/leased") == SOME
        await session.files.put(b"outside", "/leased")
        assert await session.files.read_text("/leased") == "outside"


async def test_two_at_once_go_one_after_the_other(session: DeviceSession) -> None:
    contents = [random.Random(seed).randbytes(9_000) for seed in range(3)]
    await asyncio.gather(*(session.files.put(content, f"/x{n}") for n, content in enumerate(contents)))
    assert await asyncio.gather(*(session.files.get(f"/x{n}") for n in range(3))) == contents
