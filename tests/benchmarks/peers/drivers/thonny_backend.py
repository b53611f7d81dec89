"""thonny's backend for boards on a serial port, without its main loop, which waits for the messages of the editor."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import Driver

if TYPE_CHECKING:
    from pathlib import Path


class Thonny(Driver):
    """What the messages of its editor lead to."""

    def connect(self) -> None:
        backends = importlib.import_module("thonny.plugins.micropython.bare_metal_backend")
        serial = importlib.import_module("thonny.plugins.micropython.serial_connection")

        class Backend(backends.GenericBareMetalMicroPythonBackend):  # type: ignore[misc, name-defined]  # as it runs
            def mainloop(self) -> None:
                """Return, and so end the constructor: the calls come from here."""

            def send_message(self, msg: Any) -> None:
                """There is no editor to send it to."""

            def _init_command_reader(self) -> None:
                """There is no editor to listen to."""

            def _report_internal_exception(self, msg: str) -> None:
                raise ConnectionError(msg)

        options = {
            "clean": False, "interrupt_on_connect": True, "cwd": None, "local_rtc": True, "sync_time": False,
        }  # fmt: skip
        self._connection = serial.SerialConnection(self.port, self.baudrate)
        self._backend = Backend(self._connection, clean=False, args=options)

    def close(self) -> None:
        self._connection.close()

    def execute(self, code: str) -> object:
        out, error = self._backend._execute(code, capture_output=True)
        if error:
            raise RuntimeError(error)
        return out

    def put(self, source: Path, name: str) -> None:
        with source.open("rb") as file:
            self._backend._write_file(file, f"/{name}", source.stat().st_size, _nothing, False)

    def get(self, name: str, target: Path) -> None:
        with target.open("wb") as file:
            self._backend._read_file(f"/{name}", file, _nothing)


def _nothing(done: int, of: int) -> None:
    """Take a report of progress."""
