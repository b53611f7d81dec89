"""The integrity mode on the official Pico firmware, where `os.dupterm` counts all output."""

from __future__ import annotations

import pytest

from belay_py import DeviceSession, ExecutionError

CODE = r"""
import sys, micropython
print('a', 1, end='\n\n')
sys.stdout.write('b\n')
sys.stdout.buffer.write(b'\x04\x04>\n\xff')
kept.write('by another way')
micropython.mem_info()
"""


async def test_output_values_and_errors(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        await session.execute("import sys\nkept = sys.stdout")
    async with DeviceSession(pico_port, communication={"integrity": True}) as session:
        output = (await session.execute(CODE)).output_bytes
        assert output.startswith(b"a 1\r\n\r\nb\r\n\x04\x04>\n\xffby another way")
        assert b"GC: total:" in output
        assert await session.evaluate("[1, 2.5, b'x']") == [1, 2.5, b"x"]
        with pytest.raises(ExecutionError) as caught:
            await session.execute("def f():\n  1/0\n\nf()")
        assert [(frame.file, frame.line) for frame in caught.value.frames] == [("<stdin>", 4), ("<stdin>", 2)]
    async with DeviceSession(pico_port) as session:
        assert await session.evaluate("__import__('os').dupterm(None)") is None
