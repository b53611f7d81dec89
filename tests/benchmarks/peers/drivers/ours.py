"""belay_py itself, with either face."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from . import LEAST, Driver

if TYPE_CHECKING:
    from pathlib import Path


class Ours(Driver):
    """`belay_py.DeviceSession`, on a loop that runs while a block or a transfer does."""

    def connect(self) -> None:
        from belay_py import DeviceSession

        self._runner = asyncio.Runner()
        self._session = DeviceSession(self.port, baudrate=self.baudrate)
        self._runner.run(self._session.connect())
        self.said = self._session.statistics.bytes_sent + self._session.statistics.bytes_received

    def close(self) -> None:
        self._runner.run(self._session.close())
        self._runner.close()

    def execute(self, code: str) -> object:
        return self._runner.run(self._session.execute(code)).output_bytes

    def block(self, code: str, seconds: float, most: int) -> list[float]:
        async def run() -> list[float]:
            execute = self._session.execute
            times: list[float] = []
            now = began = time.perf_counter()
            while len(times) < LEAST or (now - began < seconds and len(times) < most):
                start = now
                await execute(code)
                now = time.perf_counter()
                times.append(now - start)
            return times

        return self._runner.run(run())

    def put(self, source: Path, name: str) -> None:
        self._runner.run(self._session.files.put(source, f"/{name}"))

    def get(self, name: str, target: Path) -> None:
        target.write_bytes(self._runner.run(self._session.files.get(f"/{name}")))


class OursBlocking(Driver):
    """`belay_py.sync.DeviceSession`."""

    def connect(self) -> None:
        from belay_py.sync import DeviceSession

        self._session: Any = DeviceSession(self.port, baudrate=self.baudrate)
        self._session.connect()
        self.said = self._session.statistics.bytes_sent + self._session.statistics.bytes_received

    def close(self) -> None:
        self._session.close()

    def execute(self, code: str) -> object:
        return self._session.execute(code).output_bytes

    def put(self, source: Path, name: str) -> None:
        self._session.files.put(source, f"/{name}")

    def get(self, name: str, target: Path) -> None:
        target.write_bytes(self._session.files.get(f"/{name}"))
