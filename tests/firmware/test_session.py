"""The session end to end on the official Pico firmware."""

from __future__ import annotations

import asyncio
import random
import struct
from contextlib import aclosing

import pytest

from belay_py import DeviceSession, DeviceSessionState, ExecutionError, SessionTimeout, ValueNotSupported
from belay_py.sync import DeviceSession as BlockingSession


async def test_info(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        info = session.info
        assert info.implementation == "micropython"
        assert info.version[:2] in ((1, 24), (1, 25))
        assert info.platform == "rp2"
        assert info.machine == "Raspberry Pi Pico with RP2040"
        assert info.unique_id
        assert info.capabilities.window == 128
        assert info.capabilities.float_bits == 32
        assert info.capabilities.binary_stdout
        assert info.heap is not None
        assert 100_000 < info.heap.free < 264_000


async def test_results_exceptions_and_values(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        assert (await session.execute("print('hi')")).output == "hi\n"
        assert await session.evaluate("[1, 2.5, b'x', {'a': (None, True)}]") == [1, 2.5, b"x", {"a": (None, True)}]
        with pytest.raises(ExecutionError, match="ValueError: bad"):
            await session.execute("raise ValueError('bad')")
        with pytest.raises(ExecutionError, match="SyntaxError"):
            await session.execute("x = = 1\n" + "y = 1\n" * 500)


async def test_many_executions_stay_in_step(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        for number in range(500):
            assert (await session.execute(f"print({number})")).output_bytes == b"%d\r\n" % number


async def test_code_around_the_windows_and_long_code(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        for length in (127, 128, 129, 254, 255, 256, 257, 384, 385, 8000):
            code = f"print({length})#".ljust(length, "x")
            assert (await session.execute(code)).output == f"{length}\n"


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(100)", "input()"])
async def test_a_deadline_stops_the_board(pico_port: str, code: str) -> None:
    async with DeviceSession(pico_port) as session:
        with pytest.raises(SessionTimeout) as caught:
            await session.execute(code, timeout=0.2)
        assert caught.value.recovered
        for number in range(10):
            assert (await session.execute(f"print({number})")).output == f"{number}\n"


async def test_cancelling_stops_the_board(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        for _ in range(5):
            task = asyncio.create_task(session.execute("while True: pass"))
            while session.state is not DeviceSessionState.ACTIVE:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert (await session.execute("print('next')")).output == "next\n"


async def test_streaming_and_leaving_half_way(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        assert [line async for line in session.stream("for i in range(3): print(i)", mode="lines")] == ["0", "1", "2"]
        async with aclosing(session.stream("while True: print('again')")) as stream:
            async for _ in stream:
                break
        assert (await session.execute("print('next')")).output == "next\n"


async def test_nothing_that_a_session_sends_stays_on_the_heap(pico_port: str) -> None:
    # MicroPython keeps short strings of the code until it restarts: nonces would fill a heap in hours.
    async with DeviceSession(pico_port) as session:

        async def work() -> str:
            for _ in range(20):
                await session.execute("pass")
                await session.evaluate("1")
                with pytest.raises(ExecutionError):
                    await session.execute("raise ValueError('real')")
            with pytest.raises(SessionTimeout):
                await session.execute("while True: pass", timeout=0.05)
            return (await session.execute("import micropython\nmicropython.qstr_info()")).output

        assert await work() == await work()


async def test_a_hard_reset_by_hand(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        await session.execute("variable = 1")
        boot = await session.hard_reset()
        assert (boot.epoch, session.boot_epoch) == (2, 2)
        assert await session.evaluate("'variable' in globals()") is False


async def test_input_for_running_code(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        result = await session.execute("name = input()\nprint('hello', name)", stdin="Ada\nunread\n")
        assert result.output.endswith("hello Ada\n")
        code = "import sys\nprint(sum(len(sys.stdin.buffer.read(64)) for _ in range(50)))"
        assert (await session.execute(code, stdin=bytes(range(5, 105)) * 32)).output == "3200\n"
        assert (await session.execute("print('next')")).output == "next\n"


def test_the_blocking_face(pico_port: str) -> None:
    with BlockingSession(pico_port) as session:
        assert session.evaluate("6 * 7") == 42


async def test_floats_of_32_bits_come_back_bit_for_bit(pico_port: str) -> None:
    chance = random.Random(32)
    bits = [*(chance.getrandbits(32) for _ in range(500)), 0, 1 << 31, 1, 0x7F7FFFFF, 0x7F800000, 0xFF800000]
    floats = [data for number in bits if (data := number.to_bytes(4, "big")) and not _is_signalling(data)]
    async with DeviceSession(pico_port) as session:
        await session.execute("import struct\ndef f(data): return struct.unpack('>f', data)[0]\nmany = []")
        for data in floats[::10]:
            value = await session.evaluate(f"f({data!r})")
            assert type(value) is float
            assert struct.pack(">f", value) == data
        for start in range(0, len(floats), 100):
            await session.execute(f"many += [f(data) for data in {floats[start : start + 100]!r}]")
        values = await session.evaluate("many")
        assert [struct.pack(">f", value) for value in values] == floats
        assert await session.evaluate("complex(1.1, -0.0)") == complex(
            struct.unpack("f", struct.pack("f", 1.1))[0], -0.0
        )


def _is_signalling(data: bytes) -> bool:
    """Whether it is a NaN of the kind that any arithmetic, on the board or here, turns into the quiet kind."""
    number = int.from_bytes(data, "big")
    return number & 0x7F800000 == 0x7F800000 and number & 0x7FFFFF != 0 and not number & 0x400000


async def test_values_of_every_type(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        await session.execute("from collections import OrderedDict, deque\nfrom array import array")
        for code, value in (
            ("-(1 << 200)", -(1 << 200)),
            ("['é\\x00', b'\\xff', bytearray(b'x'), 'x' * 999]", ["é\x00", b"\xff", bytearray(b"x"), "x" * 999]),
            ("OrderedDict([(2, {1}), (1, frozenset((2,)))])", {2: {1}, 1: frozenset((2,))}),
            ("(None, True, ..., range(5), memoryview(b'x'))", (None, True, ..., range(5), b"x")),
            ("list(deque((1, 2), 5)), list(array('h', (-1, 1)))", ([1, 2], [-1, 1])),
            ("list(range(3000))", list(range(3000))),
        ):
            assert await session.evaluate(code) == value
        assert list(await session.evaluate("array('h', (-1, 1))")) == [-1, 1]
        with pytest.raises(ValueNotSupported, match=r"item \[0\]\['led'\] is a Pin"):
            await session.evaluate("[{'led': __import__('machine').Pin(25)}]")
        await session.execute("loop = []\nloop.append(loop)")
        with pytest.raises(ValueNotSupported, match="100 levels deep"):
            await session.evaluate("loop")


async def test_values_where_little_memory_is_left(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        await session.soft_reset()
        await session.execute("import gc\nkept = []\ngc.collect()")
        await session.execute("while gc.mem_free() > 13000: kept.append(bytearray(1000))")
        assert await session.evaluate("gc.mem_free() < 13000, b'x', 2.5") == (True, b"x", 2.5)
        await session.soft_reset()
