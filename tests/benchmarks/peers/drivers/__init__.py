"""How each tool is driven through its Python API, inside its own environment.

A driver has `connect`, `close`, `execute`, `put` (a local file), `get` (into a local file), and, for tools that are not
always in the raw REPL, `begin` and `end` around a block of executions. Nothing here may import what only this project's
environment has, except in `ours`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEAST = 10


class Driver(ABC):
    """One tool on one port."""

    def __init__(self, port: str, baudrate: int, *, loses: bool) -> None:
        self.port = port
        self.baudrate = baudrate
        self.loses = loses
        """Whether the link is a UART, which loses what the board does not read in time."""
        self.said = 0
        """Bytes both ways of the latest connect, where the tool counts them."""

    @abstractmethod
    def connect(self) -> None:
        """Open the port and make the tool ready to run code."""

    @abstractmethod
    def close(self) -> None:
        """Close the port."""

    @abstractmethod
    def execute(self, code: str) -> object:
        """Run code; give its output as text or bytes."""

    @abstractmethod
    def put(self, source: Path, name: str) -> None:
        """Write a file of the host to the board's root."""

    @abstractmethod
    def get(self, name: str, target: Path) -> None:
        """Read a file of the board's root into one of the host."""

    def begin(self) -> None:  # noqa: B027  most tools need nothing
        """Get ready for a block of executions."""

    def end(self) -> None:  # noqa: B027  most tools need nothing
        """End a block of executions."""

    def block(self, code: str, seconds: float, most: int) -> list[float]:
        """Run code again and again, for so many seconds and ten times at least; give the seconds of each."""
        self.begin()
        times: list[float] = []
        now = began = time.perf_counter()
        while len(times) < LEAST or (now - began < seconds and len(times) < most):
            start = now
            self.execute(code)
            now = time.perf_counter()
            times.append(now - start)
        self.end()
        return times
