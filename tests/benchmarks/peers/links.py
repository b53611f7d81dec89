"""The links on which tools are compared: a bare pseudo-terminal, and two paced wires between pseudo-terminals."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
import tty
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Link:
    """One kind of link. Bytes are lost on a UART when the board does not read; USB and pseudo-terminals stall."""

    name: str
    title: str
    baudrate: int = 0
    """Bits per second on the wire, 10 for each byte; 0 is no wire at all."""
    latency: float = 0.0
    """Seconds from a byte's leaving the line to its arrival."""
    loses: bool = False

    def seconds(self, size: int) -> float:
        """How long so many bytes take, from the first one's start to the last one's arrival."""
        return 10 * size / self.baudrate + self.latency


LINKS = {
    link.name: link
    for link in (
        Link("direct", "direct"),
        Link("usb", "USB model (8 Mbaud, 0.5 ms each way)", 8_000_000, 0.0005),
        Link("115200", "115,200 baud, 1 ms each way", 115_200, 0.001, loses=True),
    )
}


@contextmanager
def connected(link: Link, board: str) -> Iterator[str]:
    """Lead from a port to the board's own port; give its path, a symbolic link as a real port's by-id path is.

    Some tools treat a literal ``/dev/pts`` path specially, and would not be measured as they are on real ports.
    """
    with tempfile.TemporaryDirectory(prefix="belay_py-") as folder:
        path = Path(folder, "board")
        if not link.baudrate:
            path.symlink_to(board)
            yield str(path)
            return
        master, slave = os.openpty()
        tty.setraw(slave)
        far = os.open(board, os.O_RDWR | os.O_NOCTTY)
        wire = subprocess.Popen(
            [compiled("paced_wire"), str(link.baudrate), str(link.latency * 1e6), str(master), str(far)],
            stdin=subprocess.PIPE,
            pass_fds=[master, far],
        )
        os.close(master)
        os.close(far)
        path.symlink_to(os.ttyname(slave))
        try:
            yield str(path)
        finally:
            assert wire.stdin is not None
            wire.stdin.close()
            wire.wait()
            os.close(slave)


def accuracy(link: Link, runs: int = 25) -> dict[int, tuple[float, float]]:
    """Time transfers both ways over the wire, a silent board at its end; give the time over the model's, by size.

    The median and the least: what lies between them is the machine's, which has other things to do.
    """
    master, slave = os.openpty()
    tty.setraw(slave)
    ratios: dict[int, tuple[float, float]] = {}
    with connected(link, os.ttyname(slave)) as path:
        near = os.open(path, os.O_RDWR | os.O_NOCTTY)
        for size in (1, 128, 4096):
            seen = []
            for source, target in [(near, master), (master, near)] * runs:
                missing = size
                began = time.perf_counter()
                os.write(source, bytes(size))
                while missing:
                    missing -= len(os.read(target, 65536))
                seen.append((time.perf_counter() - began) / link.seconds(size))
            ratios[size] = statistics.median(seen), min(seen)
        os.close(near)
    os.close(master)
    os.close(slave)
    return ratios
