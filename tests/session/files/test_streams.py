"""Files of the board read and written piece by piece, on real MicroPython."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py import (
    CommunicationOptions,
    DeviceSession,
    ProtocolViolation,
    RemoteFileError,
    RemoteFileNotFound,
    RemoteIsADirectory,
    SettingsError,
    TransferError,
)
from belay_py.session.files.board_code import PIECES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALL_BYTES = bytes(range(256)) * 8 + b"\x04\x04>\r\n\x01\x02\x03" * 20


@pytest.fixture
async def session(port: str) -> AsyncIterator[DeviceSession]:
    """A session on a board without files."""
    async with DeviceSession(port) as session:
        for entry in await session.files.list("/"):
            await session.files.remove(entry.path, recursive=True)
        yield session


async def test_any_bytes_come_back_as_they_were_written(session: DeviceSession) -> None:
    async with session.files.open("/x", "wb", piece=300) as file:
        for start in range(0, len(ALL_BYTES), 77):
            assert await file.write(ALL_BYTES[start : start + 77]) == len(ALL_BYTES[start : start + 77])
        assert file.tell() == len(ALL_BYTES)
    async with session.files.open("/x", piece=100) as file:
        pieces = [piece async for piece in file]
    assert b"".join(pieces) == ALL_BYTES
    assert {len(piece) for piece in pieces[:-1]} == {100}


async def test_reading_some_and_from_a_place(session: DeviceSession) -> None:
    await session.files.write_bytes("/x", b"0123456789")
    async with session.files.open("/x", "rb", piece=3) as file:
        assert await file.read(4) == b"0123"
        assert file.tell() == 4
        assert await file.read(0) == b""
        file.seek(8)
        assert await file.read(5) == b"89"
        assert await file.read() == b""
        file.seek(0)
        before = session.statistics.operations
        assert await file.read() == b"0123456789"
        assert session.statistics.operations == before + 4
        file.seek(99)
        assert await file.read() == b""


async def test_appending_goes_on_behind_what_is_there(session: DeviceSession) -> None:
    for text in (b"one\n", b"two\n"):
        async with session.files.open("/log", "ab") as file:
            await file.write(text)
    assert await session.files.read_bytes("/log") == b"one\ntwo\n"
    async with session.files.open("/log", "wb"):
        pass
    assert await session.files.read_bytes("/log") == b""


async def test_a_piece_is_one_round_trip_and_small_writes_are_collected(session: DeviceSession) -> None:
    async with session.files.open("/x", "wb", piece=1000) as file:
        before = session.statistics.operations
        for _ in range(35):
            await file.write(b"x" * 100)
        assert session.statistics.operations == before + 3
        await file.flush()
        assert (await session.files.stat("/x")).size == 3500


async def test_others_use_the_board_between_two_pieces_and_a_reset_costs_nothing(session: DeviceSession) -> None:
    await session.files.write_bytes("/x", ALL_BYTES)
    async with session.files.open("/x", piece=1000) as source, session.files.open("/y", "wb", piece=500) as target:
        async for piece in source:
            await target.write(piece)
            await session.soft_reset()
            assert (await session.execute("print(1)")).output == "1\n"
    assert await session.files.read_bytes("/y") == ALL_BYTES


async def test_somebody_else_who_writes_the_file_is_noticed(session: DeviceSession) -> None:
    async with session.files.open("/x", "wb", piece=10) as file:
        await file.write(b"0123456789")
        await session.execute("f = open('/x', 'ab'); f.write('!'); f.close()")
        with pytest.raises(TransferError, match="has 11 bytes on the board, and not the 20"):
            await file.write(b"0123456789")
    assert await session.files.read_bytes("/x") == b"0123456789!"


async def test_what_the_block_raised_is_what_comes_out_of_it(session: DeviceSession) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the block is what is tested
        async with session.files.open("/x", "wb") as file:
            await file.write(b"stored all the same")
            raise ZeroDivisionError
    assert await session.files.read_bytes("/x") == b"stored all the same"
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  the block is what is tested
        async with session.files.open("/y", "wb") as file:
            await file.write(b"lost")
            await session.files.remove("/y")
            raise ZeroDivisionError


async def test_a_file_that_cannot_be_opened_is_told_at_once(session: DeviceSession) -> None:
    files = session.files
    with pytest.raises(RemoteFileNotFound):
        await files.open("/no").__aenter__()
    with pytest.raises(RemoteFileNotFound):
        await files.open("/no/x", "wb").__aenter__()
    for mode in ("rb", "wb", "ab"):
        with pytest.raises(RemoteIsADirectory):
            await files.open("/", mode).__aenter__()


async def test_a_full_board_is_told() -> None:
    async with DeviceSession("virtual:?storage=16384") as session, session.files.open("/x", "wb") as file:
        with pytest.raises(RemoteFileError, match="full"):  # noqa: PT012  it is full at some time
            for _ in range(10):
                await file.write(bytes(4096))


async def test_what_a_mode_does_not_allow_is_refused(session: DeviceSession) -> None:
    files = session.files
    for mode in ("r", "w", "r+b", "", 5):
        with pytest.raises(SettingsError, match="mode"):
            files.open("/x", mode)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(SettingsError, match="piece"):
        files.open("/x", piece=0)
    file = files.open("/x", "wb")
    with pytest.raises(SettingsError, match="is not open"):
        await file.write(b"")
    async with file:
        with pytest.raises(SettingsError, match="'rb'"):
            await file.read()
        with pytest.raises(SettingsError, match="'rb'"):
            file.seek(0)
    assert repr(file) == "<RemoteFile '/x' wb closed>"
    async with files.open("/x") as file:
        with pytest.raises(SettingsError, match="'wb' or 'ab'"):
            await file.write(b"")
        with pytest.raises(SettingsError, match="place"):
            file.seek(-1)


async def test_something_that_prints_meanwhile_is_noticed(session: DeviceSession) -> None:
    await session.files.write_bytes("/x", ALL_BYTES)
    async with session.files.open("/x") as file:
        name = PIECES.name
        await session.execute(f"get = {name}.get\ndef more(*a):\n get(*a)\n print('!')\n{name}.get = more")
        with pytest.raises(ProtocolViolation):
            await file.read()
        await session.execute(f"{name}.get = get")
        assert await file.read() == ALL_BYTES


async def test_a_small_board_gets_small_pieces() -> None:
    async with DeviceSession("virtual:?memory=65536") as session, session.files.open("/x", "wb") as file:
        heap = session.info.heap
        assert heap is not None
        assert file._piece == heap.free // 16 < 4096


@pytest.mark.parametrize("framing", ["marked", "plain"])
async def test_bytes_that_look_like_the_end_of_an_answer(framing: str) -> None:
    how = CommunicationOptions(framing=framing)  # type: ignore[arg-type]  # mypy sees text
    async with DeviceSession("virtual:", communication=how) as session:
        async with session.files.open("/x", "wb") as file:
            await file.write(ALL_BYTES)
        async with session.files.open("/x", piece=500) as file:
            assert await file.read() == ALL_BYTES
        async with session.files.open("/empty", "ab"):
            pass
        async with session.files.open("/empty") as file:
            assert await file.read() == b""
