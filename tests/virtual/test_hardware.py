"""``machine`` and ``asyncio`` on the board."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual import BoardProcess

    from .conftest import Client


def test_the_chip(repl: Client, shared_board: BoardProcess) -> None:
    identity = shared_board.options.identity(shared_board.name)
    assert repl.output("import machine\nprint(machine.unique_id())") == f"{identity!r}\r\n"
    assert repl.output("print(machine.freq()); machine.freq(250_000_000); print(machine.freq())") == (
        "125000000\r\n250000000\r\n"
    )
    assert "1.29" in repl.output("import os\nprint(os.uname())")


def test_the_unique_id_can_be_chosen(make_board: Callable[..., BoardProcess]) -> None:
    from .conftest import Client

    with make_board(unique_id=b"\x01\x02\xff").open_wire() as end:
        client = Client(end)
        client.enter_raw()
        assert client.output("import machine\nprint(machine.unique_id())") == "b'\\x01\\x02\\xff'\r\n"


def test_the_clock_is_the_hosts_until_it_is_set(make_board: Callable[..., BoardProcess]) -> None:
    from .conftest import Client

    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        before = time.time()
        shown = float(client.output("import time, machine\nprint(time.time())"))
        assert before - 0.002 <= shown <= time.time()  # the board's has milliseconds
        assert (
            client.output(
                "rtc = machine.RTC()\nrtc.datetime((2031, 2, 3, 0, 4, 5, 6, 250000))\n"
                "print(rtc.datetime()[:7], time.localtime()[:6], time.gmtime(time.time())[6:], time.time_ns() // 10**9)"
            )
            == "(2031, 2, 3, 0, 4, 5, 6) (2031, 2, 3, 4, 5, 6) (0, 34) 1927857906\r\n"
        )
        assert client.output("print(rtc.datetime()[7] >= 250000)") == "True\r\n"
        client.send(b"\x04")
        client.read_until(b"raw REPL; CTRL-B to exit\r\n>")
        assert client.output("import time\nprint(time.localtime()[0])") == "2031\r\n", "a reset leaves it running"
    board.reset()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        assert client.output("import time\nprint(time.localtime()[0])") == "2031\r\n", "a hard one too"
    board.unplug()
    board.replug()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        shown = float(client.output("import time\nprint(time.time())"))
        assert before - 0.002 <= shown <= time.time()


def test_pins_both_ways(repl: Client, shared_board: BoardProcess) -> None:
    assert shared_board.pin(5) is None
    repl.output("from machine import Pin\nled = Pin(5, Pin.OUT)\nled.on()\nb = Pin('BTN', Pin.IN, Pin.PULL_UP)")
    assert shared_board.pin(5) == 1
    repl.output("led.toggle()")
    assert shared_board.pin(5) == 0
    assert repl.output("print(b.value(), led(), Pin(9, Pin.IN).value())") == "1 0 0\r\n"
    shared_board.set_pin("BTN", 0)
    assert repl.output("print(b.value())") == "0\r\n"


def test_the_host_sets_readings_while_the_program_runs(repl: Client, shared_board: BoardProcess) -> None:
    shared_board.set_adc(26, 1000)
    repl.send(
        b"from machine import ADC, Pin\na = ADC(Pin(26))\nprint(a.read_u16(), 'READY')\n"
        b"while a.read_u16() == 1000: pass\nprint(a.read_u16(), a.read_uv())\x04"
    )
    assert repl.read_until(b"READY\r\n") == b"OK1000 READY\r\n"
    shared_board.set_adc(26, 65535)
    assert repl.read_until(b"\x04>") == b"65535 3300000\r\n\x04\x04>"
    with pytest.raises(ValueError, match="0 to 65535"):
        shared_board.set_adc(26, 65536)


def test_outputs_float_after_a_reset(make_board: Callable[..., BoardProcess]) -> None:
    from .conftest import Client

    board = make_board()
    with board.open_wire() as end:
        client = Client(end)
        client.enter_raw()
        client.output("from machine import Pin\nPin(5, Pin.OUT, value=1)")
        assert board.pin(5) == 1
        board.reset()
        assert board.pin(5) is None


def test_rom_is_not_listed(repl: Client) -> None:
    assert repl.output("import os\nprint(os.listdir('/'))") == "[]\r\n"


def test_asyncio(repl: Client) -> None:
    assert repl.output(
        """
import asyncio, sys

async def work(n):
    await asyncio.sleep_ms(10 * n)
    print("worked", n)
    return n

async def bad():
    await asyncio.sleep(0)
    raise ValueError("bad")

async def main():
    print(await asyncio.gather(work(2), work(1)))
    try:
        await asyncio.wait_for(work(500), 0.02)
    except asyncio.TimeoutError:
        print("timeout")
    print(await asyncio.wait_for_ms(work(1), 5000))
    event = asyncio.Event()
    async def setter():
        await asyncio.sleep_ms(5)
        event.set()
    t = asyncio.create_task(setter())
    await event.wait()
    await t
    print("event", t.done())
    lock = asyncio.Lock()
    async with lock:
        print("locked", lock.locked())
    task = asyncio.create_task(work(500))
    await asyncio.sleep_ms(1)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled")
    try:
        await asyncio.create_task(bad())
    except ValueError as e:
        print("raised", e)
    asyncio.get_event_loop().set_exception_handler(lambda loop, c: print("handler", c["exception"]))
    asyncio.create_task(bad())
    await asyncio.sleep_ms(5)
    print(asyncio.current_task() is not None)
    return "end"

print(asyncio.run(main()))
"""
    ).split("\r\n") == [
        "worked 1", "worked 2", "[2, 1]", "timeout", "worked 1", "1", "event True", "locked True", "cancelled",
        "raised bad", "handler bad", "True", "end", "",
    ]  # fmt: skip


def test_asyncio_raises_what_the_main_task_raises(repl: Client) -> None:
    assert b"ZeroDivisionError" in repl.run("import asyncio\nasync def m(): 1/0\nasyncio.run(m())")[1]
    assert repl.output("async def m(): return 3\nprint(asyncio.run(m()))") == "3\r\n"
