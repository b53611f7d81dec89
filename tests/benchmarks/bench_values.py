"""What a value costs: evaluations as ratios to ``execute("pass")`` on the same virtual board, in interleaved blocks.

Run by hand: ``python tests/benchmarks/bench_values.py``.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from belay_py import DeviceSession
from belay_py.session import values

ROUNDS = 15

SETUP = """
floats = [n / 7 for n in range(50)]
apart = [0] + floats
ints = list(range(10_000))
texts = ["text %d" % n for n in range(1000)]
"""

# What is done, and how often in one block.
CASES = {
    'execute("pass")': ("pass", 200),
    'execute("print(repr(x))") of the small list': ("print(repr([1, 2.5, b'x']))", 200),
    "[1, 2.5, b'x']": ("[1, 2.5, b'x']", 200),
    "a block: x = 1, then x": ("x = 1\nx", 200),
    "a block that begins with a for": ("for x in (1,): pass\nx", 200),
    "50 floats in one batch": ("floats", 50),
    "50 floats one by one": ("apart", 50),
    "10,000 ints": ("ints", 2),
    "1,000 strings": ("texts", 5),
}


async def block(session: DeviceSession, name: str, code: str, count: int) -> float:
    run = session.execute if name.startswith("execute") else session.evaluate
    start = time.perf_counter()
    for _ in range(count):
        await run(code)
    return (time.perf_counter() - start) / count


async def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in CASES}
    async with DeviceSession("virtual:") as session:
        await session.execute(SETUP)
        start = time.perf_counter()
        await session.evaluate("1")
        first = time.perf_counter() - start
        for _ in range(ROUNDS):
            for name, (code, count) in CASES.items():
                taken[name].append(await block(session, name, code, count))
    floor = taken['execute("pass")']
    for name, times in taken.items():
        ratio = statistics.median(time / least for time, least in zip(times, floor, strict=True))
        extra = statistics.median(time - least for time, least in zip(times, floor, strict=True))
        sys.stdout.write(f"{name:45} {statistics.median(times) * 1e6:9.1f} us {ratio:7.2f} x  {extra * 1e6:+9.1f} us\n")
    sys.stdout.write(f"{'the first evaluation, sending the encoder':45} {first * 1e6:9.1f} us\n")
    text = "[" + "".join(f"{n:x}," for n in range(100_000)) + "]"
    start = time.perf_counter()
    values.parse(text)
    sys.stdout.write(f"{'reading 100,000 ints':45} {(time.perf_counter() - start) * 1e6:9.1f} us\n")
    text = "[" + "'a'1," * 50_000 + "]"
    start = time.perf_counter()
    values.parse(text)
    sys.stdout.write(f"{'reading 100,000 ints and strings in turn':45} {(time.perf_counter() - start) * 1e6:9.1f} us\n")


if __name__ == "__main__":
    asyncio.run(main())
