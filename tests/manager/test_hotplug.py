"""Boards that are unplugged and come back: under another name, much later, or with another one in their place.

The boards are by script, and the system's listing of ports is the test's: it says which of them has which name.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from belay_py import DeviceNotFound, DeviceSession, IdentityChanged
from belay_py.events import ReconnectFailed
from belay_py.testing import Pause, ScriptedBoard
from tests.devices.test_discovery import port

from .watching import Diary, codes, manager_with

if TYPE_CHECKING:
    from serial.tools.list_ports_common import ListPortInfo

    from belay_py import DeviceSessionManager

ON_A_VIRTUAL_CLOCK = True
SERIAL = "E6614"
NAME = f"usb:2E8A:0005:{SERIAL}"
OPTIONS: dict[str, Any] = {
    "enable_heartbeat": False,
    "enable_health_checks": False,
    "idle_timeout": float("inf"),
}


class Bench:
    """The sockets: which board is plugged in, and what the system says of it."""

    def __init__(self) -> None:
        self.plugged: dict[str, ListPortInfo] = {}
        self.looks = 0

    def comports(self) -> list[ListPortInfo]:
        """The listing."""
        self.looks += 1
        return list(self.plugged.values())

    def plug(self, board: ScriptedBoard, serial: str = SERIAL) -> None:
        """Plug a board in. Its port is the board's own, whatever it was before."""
        self.plugged[board.port] = port(board.port, 0x2E8A, 0x0005, serial, at="1-2")
        board.replug()

    def unplug(self, board: ScriptedBoard) -> None:
        """Pull a board."""
        del self.plugged[board.port]
        board.unplug()


async def bench_with(
    board: ScriptedBoard, name: str = NAME, **options: Any
) -> tuple[Bench, DeviceSessionManager, DeviceSession, Diary]:
    bench = Bench()
    bench.plug(board)
    manager, diary = manager_with()
    manager._pool.comports = bench.comports
    session = await manager.create_session("a", name, **{**OPTIONS, **options})
    diary.take()
    return bench, manager, session, diary


def told(diary: Diary) -> list[tuple[float, str]]:
    return [(when, what) for when, _, what in diary.take() if what != "SessionError"]


async def test_a_board_that_comes_back_wakes_the_attempt_that_waits() -> None:
    board = ScriptedBoard("awake")
    bench, manager, session, diary = await bench_with(board, reconnect_delay=30)
    async with manager:
        bench.unplug(board)
        await asyncio.sleep(5.5)
        bench.plug(board)
        await asyncio.sleep(3)
        # Seen at the look of second 6, settled at the next.
        assert told(diary) == [
            (0.0, "SessionDisconnected unexpected"),
            (0.0, "Reconnecting 1 30"),
            (6.3, "BoardReset"),
            (6.3, "SessionConnected"),
        ]
        assert session.generation == 2


async def test_after_giving_up_an_arrival_begins_anew_and_giving_up_is_told_once_for_each() -> None:
    board = ScriptedBoard("hour")
    bench, manager, session, diary = await bench_with(board, max_reconnect_attempts=2)
    async with manager:
        bench.unplug(board)
        await asyncio.sleep(3600.5)
        assert [what for _, what in told(diary)][-1] == "ReconnectFailed 2"
        assert sum(isinstance(event, ReconnectFailed) for event in diary.events) == 1
        bench.plug(board)
        await asyncio.sleep(5)
        assert told(diary)[-1][1] == "SessionConnected"
        assert session.generation == 2
        assert manager._watch.reconnection._lookout.is_idle


async def test_nothing_is_looked_for_while_nothing_is_lost_or_after_a_disconnect() -> None:
    board = ScriptedBoard("idle")
    bench, manager, session, _ = await bench_with(board, max_reconnect_attempts=1)
    async with manager:
        before = bench.looks
        await asyncio.sleep(1000)
        assert bench.looks == before
        bench.unplug(board)
        await asyncio.sleep(100)
        assert bench.looks > before + 90
        await session.disconnect()
        await asyncio.sleep(2)
        before = bench.looks
        await asyncio.sleep(1000)
        assert bench.looks == before
        assert manager._watch.reconnection._lookout.is_idle


async def test_a_board_is_found_under_another_name() -> None:
    first, second = ScriptedBoard("ttyACM0"), ScriptedBoard("ttyACM1")
    bench, manager, session, diary = await bench_with(first, reconnect_delay=30)
    async with manager:
        assert session.port == first.port
        bench.unplug(first)
        await asyncio.sleep(2)
        bench.plug(second)  # the same numbers
        await asyncio.sleep(3)
        assert told(diary)[-1][1] == "SessionConnected"
        assert session.port == second.port
        await session.execute("print(1)")
        assert codes(second.executions)[-1] == "print(1)"


async def test_another_board_in_its_place_is_never_opened_and_its_own_return_is_followed() -> None:
    board, other = ScriptedBoard("mine"), ScriptedBoard("stranger")
    bench, manager, session, diary = await bench_with(board, "usb:2E8A:0005")
    async with manager:
        bench.unplug(board)
        bench.plug(other, "E9999")
        await asyncio.sleep(100)
        last = diary.events[-1]
        assert isinstance(last, ReconnectFailed)
        assert isinstance(last.error, IdentityChanged)
        assert (last.attempts, last.error.expected) == (1, NAME)
        assert last.error.found.startswith("usb:2E8A:0005:E9999")
        assert other.connections == 0
        bench.plug(board)
        await asyncio.sleep(5)
        assert told(diary)[-1][1] == "SessionConnected"
        assert (session.port, other.connections) == (board.port, 0)


async def test_who_connects_after_he_was_told_takes_the_other_board() -> None:
    board, other = ScriptedBoard("old"), ScriptedBoard("new")
    bench, manager, session, _ = await bench_with(board, "usb:2E8A:0005")
    async with manager:
        bench.unplug(board)
        bench.plug(other, "E9999")
        await asyncio.sleep(100)
        with pytest.raises(IdentityChanged):
            await session.connect()
        assert other.connections == 0
        await session.connect()
        assert session.port == other.port


async def test_a_loose_plug_is_waited_for_until_it_holds() -> None:
    board = ScriptedBoard("loose")
    bench, manager, _, diary = await bench_with(board, reconnect_delay=1000, max_reconnect_delay=1000)
    async with manager:
        bench.unplug(board)
        await asyncio.sleep(0.9)
        for _ in range(20):  # it is there at each look that is 0.3 seconds after another one, and then is not
            bench.plug(board)
            await asyncio.sleep(0.2)
            bench.unplug(board)
            await asyncio.sleep(0.2)
        assert told(diary)[-1][1] == "Reconnecting 1 1000"
        bench.plug(board)
        await asyncio.sleep(2)
        assert told(diary)[-1][1] == "SessionConnected"


async def test_operations_that_waited_go_on_when_the_board_is_back_and_prepared() -> None:
    board = ScriptedBoard("queue")
    prepared: list[int] = []

    async def prepare(session: DeviceSession) -> None:
        await session.execute("prepare")
        prepared.append(session.generation)

    bench, manager, session, diary = await bench_with(board, on_connect=prepare)
    async with manager:

        async def leased() -> int:
            async with manager.lease("a") as mine:
                await mine.execute("leased")
                return mine.generation

        board.on_code = lambda code: (Pause(30.0),) if code == "running" else ""
        running = asyncio.ensure_future(session.execute("running", timeout=60))
        await asyncio.sleep(0.1)
        waiting = [asyncio.ensure_future(session.execute(f"waiting {number}", timeout=60)) for number in range(3)]
        lease = asyncio.ensure_future(leased())
        await asyncio.sleep(0.1)
        bench.unplug(board)
        await asyncio.sleep(4)
        assert [task for task in (*waiting, lease) if task.done()] == []
        bench.plug(board)
        await asyncio.gather(*waiting)
        assert await lease == 2
        assert (await asyncio.gather(running, return_exceptions=True))[0].__class__.__name__ == "OutcomeUnknown"
        assert prepared == [1, 2]
        own = [code for code in codes(board.executions) if code.split()[0] in ("prepare", "waiting", "leased")]
        assert own == ["prepare", "prepare", "waiting 0", "waiting 1", "waiting 2", "leased"]
        assert sum(what == "SessionConnected" for _, what in told(diary)) == 1


async def test_a_waiting_operation_has_its_own_deadline() -> None:
    board = ScriptedBoard("deadline")
    bench, manager, session, _ = await bench_with(board, reconnect_delay=100, max_reconnect_delay=100)
    async with manager:
        bench.unplug(board)
        await asyncio.sleep(0.1)
        with pytest.raises(DeviceNotFound):
            await session.execute("1", timeout=3)
        assert 2.8 < asyncio.get_running_loop().time() <= 3.1
