"""What ``communication.integrity`` costs: the same work with and without it, by turns, in one run.

python tests/benchmarks/integrity.py [PORT]

Prints the median of the ratios of neighbouring turns. Without a port it takes a virtual board.
"""

from __future__ import annotations

import statistics
import sys
import time

from belay_py.sync import DeviceSession
from belay_py.virtual import open_board

ROUNDS = 15
WORK = {
    "execute('pass')": ("pass", 40),
    "4 KiB of code": ("x = 0\n" + "x = x + 1\n" * 409, 4),
    "64 KiB of output, one print": ("print('x' * 65534)", 2),
    "64 KiB of output, in lines": ("for i in range(1024): print('x' * 62)", 2),
}


def seconds(session: DeviceSession, code: str, times: int) -> float:
    """Seconds for one of several executions."""
    start = time.perf_counter()
    for _ in range(times):
        session.execute(code, timeout=60)
    return (time.perf_counter() - start) / times


def main() -> None:
    """Measure, and print a line for each kind of work."""
    port = sys.argv[1] if len(sys.argv) > 1 else "virtual:integrity-benchmark"
    board = open_board(port) if port.startswith("virtual:") else None
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WORK}
    for _ in range(ROUNDS):
        taken: list[dict[str, float]] = []
        for integrity in False, True:
            with DeviceSession(port, communication={"integrity": integrity}) as session:
                session.execute("pass")
                taken.append({name: seconds(session, *work) for name, work in WORK.items()})
        for name, pairs in found.items():
            pairs.append((taken[0][name], taken[1][name]))
    for name, pairs in found.items():
        ratio = statistics.median(checked / plain for plain, checked in pairs)
        plain = statistics.median(plain for plain, _ in pairs)
        print(f"{name:30} {ratio:5.2f} x {plain * 1e3:8.2f} ms")  # noqa: T201  a program that is run by hand
    if board is not None:
        board.close()


if __name__ == "__main__":
    main()
