"""Real boards behind pseudo-terminals whose names change; the listing that gives them numbers is the test's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from belay_py import DeviceNotFound, DeviceSession, DeviceSessionState, IdentityChanged
from tests.devices.test_discovery import port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serial.tools.list_ports_common import ListPortInfo

    from tests.conftest import PtyBoard


class Sockets:
    """Names such as ttyACM0, as links to pseudo-terminals, and what the system says of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listing: dict[str, ListPortInfo] = {}

    def plug(self, name: str, board: PtyBoard, serial: str | None, at: str = "1-2") -> str:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(board.port)
        self.listing[name] = port(str(path), 0x2E8A, 0x0005, serial, at)
        return str(path)

    def unplug(self, name: str) -> None:
        (self.folder / name).unlink()
        del self.listing[name]

    def session(self, path: str) -> DeviceSession:
        session = DeviceSession(path)
        session._standing.whereabouts.comports = lambda: list(self.listing.values())
        return session


@pytest.fixture
def sockets(tmp_path: Path) -> Sockets:
    return Sockets(tmp_path)


async def id_of(session: DeviceSession) -> str:
    return str(await session.evaluate("__import__('machine').unique_id().hex()"))


async def test_a_board_is_found_under_its_new_name(
    sockets: Sockets, make_pty_board: Callable[..., PtyBoard], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "belay_py.devices.whereabouts")
    board = make_pty_board()
    first = sockets.plug("ttyACM0", board, "A")
    async with sockets.session(first) as session:
        await session.execute("kept = 1")
        sockets.unplug("ttyACM0")
        second = sockets.plug("ttyACM1", board, "A")
        boot = await session.reconnect()
        assert (session.port, session.options.port, session.generation) == (second, first, 2)
        assert not boot.restarted
        assert await session.evaluate("kept") == 1
    assert [record.message for record in caplog.records] == [
        f"{first}: the board that was at {first} is at {second} now"
    ]
    assert caplog.records[0].__dict__["session"] == session.session_id


async def test_two_boards_that_changed_names_are_both_followed(
    sockets: Sockets, make_pty_board: Callable[..., PtyBoard]
) -> None:
    left, right = make_pty_board(), make_pty_board()
    names = sockets.plug("ttyACM0", left, "A", "1-1"), sockets.plug("ttyACM1", right, "B", "1-2")
    async with sockets.session(names[0]) as one, sockets.session(names[1]) as two:
        ids = await id_of(one), await id_of(two)
        assert ids[0] != ids[1]
        await one.disconnect()
        await two.disconnect()
        sockets.plug("ttyACM0", right, "B", "1-2")
        sockets.plug("ttyACM1", left, "A", "1-1")
        await one.connect()
        await two.connect()
        assert (await id_of(one), await id_of(two)) == ids
        assert (one.port, two.port) == names[::-1]


async def test_another_board_under_its_name_is_not_even_opened(
    sockets: Sockets, make_pty_board: Callable[..., PtyBoard]
) -> None:
    mine, other = make_pty_board(), make_pty_board()
    path = sockets.plug("ttyACM0", mine, "A")
    async with DeviceSession(other.port) as bystander:
        await bystander.execute("alive = 1")
        async with sockets.session(path) as session:
            sockets.plug("ttyACM0", other, "B")
            with pytest.raises(IdentityChanged) as caught:
                await session.reconnect()
            # The bystander has its port locked: opening it would have raised DeviceBusy.
            assert (caught.value.expected, caught.value.found) == ("usb:2E8A:0005:A", "usb:2E8A:0005:B at 1-2")
            assert session.state is DeviceSessionState.ERROR
            assert await bystander.evaluate("alive") == 1
            await bystander.close()
            await session.connect()  # whoever goes on has been told
            assert await session.evaluate("1") == 1


async def test_what_the_system_cannot_tell_the_board_does(
    sockets: Sockets, make_pty_board: Callable[..., PtyBoard]
) -> None:
    mine, other = make_pty_board(), make_pty_board()
    path = sockets.plug("ttyUSB0", mine, None)
    async with sockets.session(path) as session:
        expected = session.info.unique_id
        sockets.plug("ttyUSB0", other, None)  # a bridge without a number, in the same socket
        with pytest.raises(IdentityChanged) as caught:
            await session.reconnect()
        assert caught.value.expected == expected != caught.value.found
        assert session.state is DeviceSessionState.DISCONNECTED
        with pytest.raises(IdentityChanged):  # who tries until it succeeds has accepted nothing
            await session.reconnect()
        await session.connect()
        assert session.info.unique_id == caught.value.found


async def test_a_pseudo_terminal_is_known_by_its_path_and_its_board(
    tmp_path: Path, make_pty_board: Callable[..., PtyBoard]
) -> None:
    mine, other = make_pty_board(), make_pty_board()
    link = tmp_path / "board"
    link.symlink_to(mine.port)
    async with DeviceSession(str(link)) as session:
        link.unlink()
        with pytest.raises(DeviceNotFound):
            await session.reconnect()
        link.symlink_to(other.port)
        with pytest.raises(IdentityChanged):
            await session.connect()
        link.unlink()
        link.symlink_to(mine.port)
        await session.connect()
