"""What boards really do to a session, written once and run on every real MicroPython that is at hand.

Each case takes the port of a board that is free and at its prompt, asserts everything that the user gets, and leaves
the board free and at its prompt. `CASES` are for every board; `TIMER_CASES` are for boards with ``machine.Timer``,
which the virtual board lacks. A thread that prints is not among them: the virtual board has no ``_thread``, and the
emulated Pico hangs in ``start_new_thread``, since its emulator has no second core. The boards' heaps are to be of a
Pico's size, about 200 KB.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from belay_py import (
    BoardWasReset,
    CodeTooLarge,
    ConnectionFailed,
    DeviceSession,
    DeviceSessionState,
    ExecutionError,
    Interrupted,
    SessionClosed,
    SessionTimeout,
)
from belay_py.transports import LinkOptions, open_transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from belay_py.transports.base import Transport

State = DeviceSessionState
PATIENCE = 20.0

WRITE = "import sys\nsys.stdout.buffer.write({!r})"

HALF_OF_THE_HEAP = "import gc\ngc.collect()\nkept = bytearray(gc.mem_free() // 2)"

# Catches every Ctrl-C for so many milliseconds, wherever it strikes.
STUBBORN = """
import time
end = time.ticks_add(time.ticks_ms(), {})
def left(): return time.ticks_diff(end, time.ticks_ms()) > 0
def inner():
    while left():
        try:
            while left(): pass
        except KeyboardInterrupt: pass
def outer():
    while left():
        try: inner()
        except KeyboardInterrupt: pass
while left():
    try: outer()
    except KeyboardInterrupt: pass
"""


async def still_works(session: DeviceSession) -> None:
    """The next execution is right and its own."""
    assert (await session.execute("print(1)")).output == "1\n"
    assert session.state is State.IDLE


class Typist(asyncio.Protocol):
    """Somebody at a terminal: types, and waits for what the board says."""

    def __init__(self) -> None:
        self.seen = b""
        self.lost = asyncio.get_running_loop().create_future()
        self.transport: Transport | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # asyncio names its own base
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    async def type(self, keys: bytes, until: bytes) -> None:
        self.seen = b""
        assert self.transport is not None
        self.transport.write(keys)
        async with asyncio.timeout(PATIENCE):
            while until not in self.seen:
                await asyncio.sleep(0)


@asynccontextmanager
async def typist(port: str) -> AsyncIterator[Typist]:
    """Type at a friendly prompt; whatever was typed is left as it is."""
    someone = Typist()
    await open_transport(port, someone, LinkOptions())
    await someone.type(b"\r\x03\x02", b">>> ")
    yield someone
    assert someone.transport is not None
    someone.transport.abort()
    await someone.lost


@asynccontextmanager
async def file_on(port: str, name: str, text: str) -> AsyncIterator[None]:
    """A file that is on the board meanwhile."""
    async with DeviceSession(port) as session:
        await session.execute(f"with open({name!r}, 'w') as f: f.write({text!r})")
    try:
        yield
    finally:
        async with DeviceSession(port) as session:
            await session.execute(f"import os\nos.remove({name!r})")


# -- output ------------------------------------------------------------------------------------------------------


async def output_of_all_256_byte_values(port: str) -> None:
    every = bytes(range(256))
    async with DeviceSession(port) as session:
        assert (await session.execute(WRITE.format(every))).output_bytes == every
        with pytest.raises(ExecutionError, match="^ValueError: real(?m:$)") as caught:
            await session.execute(WRITE.format(every) + "\nraise ValueError('real')")
        assert caught.value.output_bytes == every
        await still_works(session)


async def output_like_the_end_of_a_response(port: str) -> None:
    async with DeviceSession(port) as session:
        for data in (b"\x04\x04>", b"OK\x04\x04>x", b"\x04Traceback"):
            assert (await session.execute(WRITE.format(data))).output_bytes == data
            with pytest.raises(ExecutionError, match="^ValueError: real(?m:$)") as caught:
                await session.execute(WRITE.format(data) + "\nraise ValueError('real')")
            assert caught.value.output_bytes == data
        await still_works(session)
        assert session.boot_epoch == 1


# -- stopping ----------------------------------------------------------------------------------------------------


async def a_program_that_prints_for_ever_under_a_deadline(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(SessionTimeout, match="before its deadline.*the board is ready again") as caught:
            # Nothing that must be collected: the virtual board collects garbage between executions only.
            await session.execute("s = 'x' * 50\nwhile True: print(s)", timeout=1)
        assert caught.value.recovered
        await still_works(session)
        assert session.boot_epoch == 1


async def a_program_that_swallows_ctrl_c_for_a_while(port: str) -> None:
    async with DeviceSession(port, recovery_timeout=15) as session:
        with pytest.raises(SessionTimeout, match="the board is ready again") as caught:
            await session.execute(STUBBORN.format(600), timeout=0.2)
        assert caught.value.recovered
        await still_works(session)
        assert session.boot_epoch == 1


async def a_program_that_swallows_ctrl_c_for_longer_than_the_recovery_lasts(port: str) -> None:
    async with DeviceSession(port, recovery_timeout=0.5) as session:
        with pytest.raises(SessionTimeout, match="its program catches Ctrl-C") as caught:
            await session.execute(STUBBORN.format(3000), timeout=0.2)
        assert not caught.value.recovered
        assert session.state is State.ERROR
        with pytest.raises(SessionClosed, match=r"in ERROR \(.*its program catches Ctrl-C.*connect\(\) tries anew"):
            await session.execute("pass")
        with pytest.raises(ConnectionFailed, match="no MicroPython prompt|no answer"):
            await DeviceSession(port, connection_timeout=0.3).connect()
        await session.connect()  # the program's end comes within the connection timeout
        assert session.generation == 2
        assert session.boot_epoch == 1, "it is the same life of the interpreter"
        await still_works(session)


async def ctrl_c_right_after_the_start(port: str) -> None:
    # It may come before the interpreter listens for it; so it is repeated until the code has ended.
    async with DeviceSession(port) as session:
        for _ in range(10):
            running = asyncio.create_task(session.execute("while True: pass"))
            while session.state is not State.ACTIVE:
                await asyncio.sleep(0)
            assert await session.interrupt()
            with pytest.raises(Interrupted):
                await running
            await still_works(session)
        assert session.boot_epoch == 1


# -- resets ------------------------------------------------------------------------------------------------------


async def _restarts(port: str, code: str) -> None:
    async with DeviceSession(port) as session:
        await session.execute("gone = 1")
        # What came before a hard reset may be lost in the board's USB; before a soft one it is not.
        with pytest.raises(BoardWasReset, match="its variables are gone") as caught:
            await session.execute("print('before')\n" + code, timeout=2)
        assert caught.value.outcome == "unknown"
        if "machine.reset" not in code:
            assert caught.value.output_bytes == b"before\r\n"
        assert session.boot_epoch == 2
        with pytest.raises(ExecutionError, match="^NameError: .*gone"):
            await session.execute("gone")
        await still_works(session)


async def system_exit(port: str) -> None:
    await _restarts(port, "raise SystemExit")
    await _restarts(port, "import sys\nsys.exit(3)")


async def a_soft_reset_from_inside_code(port: str) -> None:
    await _restarts(port, "import machine\nmachine.soft_reset()")


async def a_hard_reset_from_inside_code(port: str) -> None:
    # The emulated Pico keeps its port, as a board with a USB-to-serial chip does; one on native USB loses it.
    await _restarts(port, "import machine\nmachine.reset()")


async def a_boot_that_prints_for_two_seconds(port: str) -> None:
    chatty = "import time\nprint('first')\nfor i in range(200):\n print(i)\n time.sleep_ms(10)\nprint('last')\n"
    async with file_on(port, "boot.py", chatty):
        async with DeviceSession(port) as session:
            printed = (await session.soft_reset()).output
            assert "first\n" in printed
            assert "last\n" in printed
            assert session.boot_epoch == 2
            await still_works(session)
        async with typist(port) as someone:
            await someone.type(b"\x04", b"first\r\n")
        async with DeviceSession(port) as session:
            assert await session.evaluate("i") < 199, "connecting does not wait for the end, it interrupts"
            await still_works(session)


# -- limits of the board -----------------------------------------------------------------------------------------


async def deep_recursion(port: str) -> None:
    async with DeviceSession(port) as session:
        for code in ("def f(): f()\nf()", "def f(n): return [n] + f(n + 1)\nf(0)"):
            with pytest.raises(ExecutionError, match="^RuntimeError: maximum recursion depth exceeded(?m:$)") as caught:
                await session.execute(code)
            assert 'File "<stdin>", line 1, in f' in caught.value.traceback
        await still_works(session)
        assert session.boot_epoch == 1


async def out_of_memory_while_parsing(port: str) -> None:
    # The board gives up before it has read all; that is why it is certain that nothing ran.
    code = "ran = True\n" + "".join(f"print({i})\n" for i in range(6_000))
    async with DeviceSession(port, operation_timeout=60) as session:
        await session.execute(HALF_OF_THE_HEAP)
        with pytest.raises(
            CodeTooLarge, match=r"does not fit the board's heap of \d+ .*none of it ran.*in pieces"
        ) as caught:
            await session.execute(code)
        error = caught.value
        assert (error.type, error.outcome, error.size, error.output) == ("MemoryError", "not_started", len(code), "")
        assert session.info.heap is not None
        assert error.heap == session.info.heap.free + session.info.heap.allocated
        await session.execute("del kept")
        assert await session.evaluate("'ran' in globals()") is False
        await still_works(session)
        assert session.boot_epoch == 1


async def out_of_memory_at_the_end_of_the_code(port: str) -> None:
    # The board has read all of it when its memory ends: nobody can tell that from a program which fills the heap.
    async with DeviceSession(port, operation_timeout=60) as session:
        await session.soft_reset()
        await session.execute(HALF_OF_THE_HEAP)
        # A string is read into a buffer, which doubles, and then copied.
        code = "x = '" + "y" * 65_000 + "'"
        with pytest.raises(
            CodeTooLarge, match=f"the code of {len(code)} bytes .* most likely none of it ran"
        ) as caught:
            await session.execute(code)
        assert caught.value.outcome == "unknown"
        await session.execute("del kept")
        await still_works(session)


async def out_of_memory_in_a_program(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError, match="^MemoryError: memory allocation failed") as caught:
            await session.execute("print('before')\nbytearray(100_000_000)")
        assert not isinstance(caught.value, CodeTooLarge)
        assert caught.value.output == "before\n"
        assert 'File "<stdin>", line 2' in caught.value.traceback
        await still_works(session)
        assert session.boot_epoch == 1


async def a_program_that_fills_the_heap_and_keeps_it(port: str) -> None:
    # There is no memory left for a traceback, for the fence or for anything else: only a restart helps.
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError, match="^MemoryError") as caught:
            await session.execute("kept = None\nwhile True: kept = [kept]", timeout=60)
        assert not isinstance(caught.value, CodeTooLarge)
        assert session.state is State.IDLE
        with pytest.raises(ExecutionError, match="^MemoryError"):
            await session.execute("print(1)")
        second = DeviceSession(port, connection_timeout=1)
        await session.disconnect()
        with pytest.raises(ConnectionFailed, match="has no memory left to run anything.*reset the board"):
            await second.connect()
        async with typist(port) as someone:
            await someone.type(b"\x04", b"soft reboot")
        await session.connect()
        assert session.boot_epoch == 2
        await still_works(session)


async def a_heap_that_is_full_is_emptied_by_a_soft_reset(port: str) -> None:
    async with DeviceSession(port) as session:
        with pytest.raises(ExecutionError, match="^MemoryError"):
            await session.execute("kept = None\nwhile True: kept = [kept]", timeout=60)
        assert "soft reboot" in (await session.soft_reset()).output
        assert session.boot_epoch == 2
        # Responses are marked again, so that this is exact.
        assert (await session.execute(WRITE.format(b"\x04\x04>"))).output_bytes == b"\x04\x04>"
        await still_works(session)


async def a_syntax_error_in_50_kilobytes(port: str) -> None:
    line = "y = 1  # padding that makes the line longer, so that the code fits the memory of a small board\n"
    good = line * (50_000 // len(line))
    async with DeviceSession(port, operation_timeout=60) as session:
        for code, number in ((f"x = = 1\n{good}", 1), (f"{good}x = = 1", good.count("\n") + 1)):
            with pytest.raises(ExecutionError, match="^SyntaxError: invalid syntax(?m:$)") as caught:
                await session.execute(code)
            assert f'File "<stdin>", line {number}' in caught.value.traceback
            assert caught.value.output == ""
        await still_works(session)
        assert session.boot_epoch == 1


# -- connecting --------------------------------------------------------------------------------------------------


async def connecting_while_main_py_loops(port: str) -> None:
    async with file_on(port, "main.py", "kept = 7\nprint('main', 'runs')\nwhile True: pass\n"):
        async with typist(port) as someone:
            await someone.type(b"\x04", b"main runs\r\n")
        async with DeviceSession(port) as session:
            assert await session.evaluate("kept") == 7
            await still_works(session)


async def connecting_while_the_raw_repl_is_on(port: str) -> None:
    async with typist(port) as someone:
        await someone.type(b"\x01", b"raw REPL; CTRL-B to exit\r\n>")
    async with DeviceSession(port) as session:
        await still_works(session)
    async with typist(port) as someone:
        await someone.type(b"\x01", b"raw REPL; CTRL-B to exit\r\n>")
        await someone.type(b"\x05A\x01", b"R\x01\x80\x00\x01")
        someone.transport.write(b"ran = 1\n")  # type: ignore[union-attr]  # it is open
    async with DeviceSession(port) as session:
        assert await session.evaluate("'ran' in globals()") is False
        await still_works(session)


async def connecting_while_half_a_command_is_typed(port: str) -> None:
    for half in (b"ran = 1", b"if True:\r\n    ran = 1", b"ran = (1,\r\n"):
        async with typist(port) as someone:
            await someone.type(half, half[-2:])
        async with DeviceSession(port) as session:
            assert await session.evaluate("'ran' in globals()") is False
            await still_works(session)


# -- what prints while nobody asks -------------------------------------------------------------------------------


async def a_timer_that_prints_between_executions(port: str) -> None:
    code = """
import time
from machine import Timer
timer = Timer(period=20, callback=lambda timer: print('timer'))
"""
    async with DeviceSession(port) as session:
        await session.execute(code)
        for number in range(30):
            # What comes meanwhile cannot be told from what the code prints; what comes before and after is nobody's.
            result = await session.execute(f"time.sleep_ms(5)\nprint('mine', {number})")
            assert [line for line in result.output.split("\n") if line.startswith("mine")] == [f"mine {number}"]
        with pytest.raises(ExecutionError, match="^ValueError: real(?m:$)"):
            await session.execute("raise ValueError('real')")
        with pytest.raises(SessionTimeout, match="the board is ready again"):
            await session.execute("while True: pass", timeout=0.2)
        await session.execute("timer.deinit()")
        await still_works(session)
        assert session.boot_epoch == 1


CASES: list[Callable[[str], Awaitable[None]]] = [
    output_of_all_256_byte_values,
    output_like_the_end_of_a_response,
    a_program_that_prints_for_ever_under_a_deadline,
    a_program_that_swallows_ctrl_c_for_a_while,
    a_program_that_swallows_ctrl_c_for_longer_than_the_recovery_lasts,
    ctrl_c_right_after_the_start,
    system_exit,
    a_soft_reset_from_inside_code,
    a_hard_reset_from_inside_code,
    a_boot_that_prints_for_two_seconds,
    deep_recursion,
    out_of_memory_while_parsing,
    out_of_memory_at_the_end_of_the_code,
    out_of_memory_in_a_program,
    a_program_that_fills_the_heap_and_keeps_it,
    a_heap_that_is_full_is_emptied_by_a_soft_reset,
    a_syntax_error_in_50_kilobytes,
    connecting_while_main_py_loops,
    connecting_while_the_raw_repl_is_on,
    connecting_while_half_a_command_is_typed,
]
TIMER_CASES: list[Callable[[str], Awaitable[None]]] = [a_timer_that_prints_between_executions]
