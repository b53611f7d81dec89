"""Virtual boards as ports: a real MicroPython at the other end."""

from __future__ import annotations

import asyncio

import pytest

from belay_py.errors import DeviceBusy, DeviceNotFound, Disconnected
from belay_py.transports import LinkOptions, open_transport
from belay_py.virtual import BoardProcess, VirtualBoard, open_board
from tests.transports.conformance import PATIENCE, Recorder, descriptors

pytest.importorskip("wasmtime")


async def _prompt(recorder: Recorder) -> None:
    await recorder.until(lambda: recorder.data.endswith(b"raw REPL; CTRL-B to exit\r\n>"))


async def test_an_anonymous_board_answers_and_is_gone_with_its_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    from belay_py.transports import virtual

    opened: list[BoardProcess] = []

    def spying(url: str) -> BoardProcess:
        opened.append(open_board(url))
        return opened[-1]

    monkeypatch.setattr(virtual, "open_board", spying)
    before = descriptors()
    recorder = Recorder()
    async with asyncio.timeout(PATIENCE * 3):
        transport = await open_transport("virtual:", recorder, LinkOptions())
        transport.write(b"\r\x03\x03\x01")
        await _prompt(recorder)
        transport.abort()
        assert await recorder.lost is None
    assert not opened[0].is_running
    assert descriptors() == before


async def test_a_named_board_outlives_its_transport_and_has_one_owner() -> None:
    async with asyncio.timeout(PATIENCE * 3), VirtualBoard("conformance") as board:
        for _ in range(2):
            recorder = Recorder()
            transport = await open_transport(board.port, recorder, LinkOptions())
            with pytest.raises(DeviceBusy):
                await open_transport(board.port, Recorder(), LinkOptions())
            transport.write(b"\r\x03\x03\x01")
            await _prompt(recorder)
            transport.abort()
            assert await recorder.lost is None
            assert board.process.is_running


async def test_an_unplugged_board_is_told_and_not_found() -> None:
    async with asyncio.timeout(PATIENCE * 3), VirtualBoard("pulled") as board:
        recorder = Recorder()
        transport = await open_transport(board.port, recorder, LinkOptions())
        transport.write(b"\r\x03\x03\x01")
        await _prompt(recorder)
        await board.unplug()
        assert isinstance(await recorder.lost, Disconnected)
        with pytest.raises(DeviceNotFound):
            await open_transport(board.port, Recorder(), LinkOptions())
