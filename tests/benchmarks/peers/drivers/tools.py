"""The tools of others that take a driver of a few lines. Each is imported when it is used: it is there by itself."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import Driver

if TYPE_CHECKING:
    from pathlib import Path


def _module(name: str) -> Any:
    return importlib.import_module(name)


class Mpremote(Driver):
    """`SerialTransport`, which its command line uses; without the soft reset that this does by default."""

    def connect(self) -> None:
        self._transport = _module("mpremote.transport_serial").SerialTransport(self.port, self.baudrate)
        self._transport.enter_raw_repl(soft_reset=False)

    def close(self) -> None:
        self._transport.exit_raw_repl()
        self._transport.close()

    def execute(self, code: str) -> object:
        return self._transport.exec(code)

    def put(self, source: Path, name: str) -> None:
        self._transport.fs_writefile(f"/{name}", source.read_bytes())

    def get(self, name: str, target: Path) -> None:
        target.write_bytes(self._transport.fs_readfile(f"/{name}"))


class Belay(Driver):
    """`Device`, its files by what `Device.sync` calls for each.

    Left out: the history, which ends with an error after 1,000 commands, and the imports for convenience, which ask for
    a timer that the virtual board does not have.
    """

    def connect(self) -> None:
        self._device = _module("belay").Device(self.port, baudrate=self.baudrate, startup="")

    def close(self) -> None:
        self._device.close()

    def execute(self, code: str) -> object:
        pieces: list[str] = []
        self._device(code, record=False, stream_out=_Collector(pieces))
        return "".join(pieces)

    def put(self, source: Path, name: str) -> None:
        self._device._board.fs_put(source, f"/{name}")

    def get(self, name: str, target: Path) -> None:
        self._device._board.fs_get(f"/{name}", target)


class _Collector:
    """Where belay prints what a board prints."""

    def __init__(self, pieces: list[str]) -> None:
        self.write = pieces.append

    def flush(self) -> None:
        """Nothing is held back."""


class Ampy(Driver):
    """`Pyboard` and `Files`, which enters the raw REPL for each file and leaves it, with a soft reset."""

    def connect(self) -> None:
        self._board = _module("ampy.pyboard").Pyboard(self.port, self.baudrate)
        self._files = _module("ampy.files").Files(self._board)
        self._board.enter_raw_repl()
        self._board.exit_raw_repl()

    def close(self) -> None:
        self._board.close()

    def begin(self) -> None:
        self._board.enter_raw_repl()

    def end(self) -> None:
        self._board.exit_raw_repl()

    def execute(self, code: str) -> object:
        return self._board.exec_(code)

    def put(self, source: Path, name: str) -> None:
        self._files.put(name, source.read_bytes())

    def get(self, name: str, target: Path) -> None:
        target.write_bytes(self._files.get(name))


class Rshell(Driver):
    """What its commands call; blocks of 512 bytes, which is its default, and of 32 on a UART, as its manual says."""

    def connect(self) -> None:
        self._rshell = _module("rshell.main")
        self._rshell.QUIET = True
        self._rshell.ASCII_XFER = False
        self._rshell.BUFFER_SIZE = self._rshell.UART_BUFFER_SIZE if self.loses else self._rshell.USB_BUFFER_SIZE
        self._rshell.DEVS.clear()
        self._rshell.DEFAULT_DEV = None
        if not self._rshell.connect_serial(self.port, self.baudrate):
            raise ConnectionError("it does not connect")
        self._device = self._rshell.DEVS[0]

    def close(self) -> None:
        self._device.close()

    def begin(self) -> None:
        self._device.pyb.enter_raw_repl()

    def end(self) -> None:
        self._device.pyb.exit_raw_repl()

    def execute(self, code: str) -> object:
        return self._device.pyb.exec_(code)

    def put(self, source: Path, name: str) -> None:
        self._rshell.cp(str(source), f"{self._device.name_path}{name}")

    def get(self, name: str, target: Path) -> None:
        self._rshell.cp(f"{self._device.name_path}{name}", str(target))


class Mpfshell(Driver):
    """`MpFileExplorer`, without the question for `os.uname` when it connects: the virtual board has no such thing."""

    def connect(self) -> None:
        explorer = _module("mp.mpfexp").MpFileExplorer

        class Explorer(explorer):  # type: ignore[misc, valid-type]  # a class that is known when it runs
            def _MpFileExplorer__set_sysname(self) -> None:  # noqa: N802  this is the name that it has
                self.sysname = "unknown"

        self._explorer = Explorer(f"ser:{self.port},{self.baudrate}")

    def close(self) -> None:
        self._explorer.exit_raw_repl()
        self._explorer.close()

    def execute(self, code: str) -> object:
        return self._explorer.exec_(code)

    def put(self, source: Path, name: str) -> None:
        self._explorer.put(str(source), name)

    def get(self, name: str, target: Path) -> None:
        self._explorer.get(name, str(target))


class Mpytool(Driver):
    """`Mpy` and its `MpyComm`."""

    def connect(self) -> None:
        mpytool = _module("mpytool")
        self._mpy = mpytool.Mpy(mpytool.ConnSerial(port=self.port, baudrate=self.baudrate))
        self._mpy.comm.enter_raw_repl()

    def close(self) -> None:
        self._mpy.comm.exit_raw_repl()
        self._mpy.conn.close()

    def execute(self, code: str) -> object:
        return self._mpy.comm.try_raw_paste(code)

    def put(self, source: Path, name: str) -> None:
        self._mpy.put(source.read_bytes(), f"/{name}")

    def get(self, name: str, target: Path) -> None:
        target.write_bytes(self._mpy.get(f"/{name}"))
