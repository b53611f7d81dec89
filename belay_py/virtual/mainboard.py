"""The board in its process: power, resets, the plug, and the lives of the interpreter one after the other.

The order of things in a life is rp2's ``main.c``: ``boot.py``, ``main.py`` if the REPL is the friendly one, the REPL,
"soft reboot".
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime

from belay_py.errors import DeviceBusy, DeviceNotFound
from belay_py.virtual import compiled
from belay_py.virtual import firmware as fw
from belay_py.virtual.bell import Bell
from belay_py.virtual.console import Console
from belay_py.virtual.filesystem import FolderFiles, MemoryFiles
from belay_py.virtual.hardware import Hardware
from belay_py.virtual.interpreter import Interpreter, PowerCut
from belay_py.virtual.receiver import Receiver
from belay_py.virtual.rom import WithRom
from belay_py.virtual.wire import Wire

if TYPE_CHECKING:
    import socket

    from belay_py.virtual.filesystem import Filesystem
    from belay_py.virtual.options import VirtualBoardOptions

_log = logging.getLogger(__name__)
_PATIENCE = 10.0
"""Seconds that a board may take to stop or start."""
_LAST_BYTES = 1.0
"""Seconds that the board may take to read what is left in a wire whose other end has closed."""
_PWRON_RESET, _HARD_RESET = 1, 2


class Mainboard:
    """A board. `run` is its life and takes a thread for good; the other methods may be called from any other one."""

    def __init__(self, name: str, options: VirtualBoardOptions, binary: bytes) -> None:
        self._options = options
        self._compiled = compiled.load(binary, options.ring)
        self._console = Console(lambda: self._cut)
        self._bell = Bell()
        self._receiver = Receiver(drops=options.overrun == "drop")
        self.hardware = Hardware(options.identity(name), on_reset=self._reset_by_program)
        files: Filesystem = FolderFiles(Path(options.folder)) if options.folder else MemoryFiles(options.storage)
        self._files = WithRom(files, self.hardware)
        self._state = threading.Condition()
        self._plugged = self._powered = True
        self._cut = False
        self._lives = 0
        self._resting = False
        self._cause = _PWRON_RESET
        self._wire: Wire | None = None
        self._reader = threading.Thread()

    # -- the board's thread

    def run(self) -> None:
        """Live, for ever."""
        while True:
            self._wait_for_power()
            self.hardware.restart(self._cause)
            try:
                self._live()
            except PowerCut:
                pass
            except (wasmtime.Trap, wasmtime.WasmtimeError):
                # A cut can hit an interpreter that is just being set up.
                if not self._cut:
                    raise

    def _wait_for_power(self) -> None:
        with self._state:
            self._resting = True
            self._state.notify_all()
            self._state.wait_for(lambda: self._powered)
            self._resting = False
            self._cut = False
            self._lives += 1
            self._state.notify_all()

    def _live(self) -> None:
        raw = False
        previous: Interpreter | None = None
        try:
            while True:
                interpreter = Interpreter(
                    self._compiled,
                    self._options,
                    self._files,
                    self._console,
                    self._bell,
                    lambda: self._cut,
                    self.hardware.clock,
                )
                self._receiver.serve(interpreter, carry=previous is not None)
                if previous is not None:
                    previous.close()
                previous = interpreter
                raw = self._until_soft_reset(interpreter, raw=raw)
                self._console.write(b"MPY: soft reboot\r\n")
        finally:
            self._receiver.serve(None)
            if previous is not None:
                previous.close()

    def _until_soft_reset(self, interpreter: Interpreter, *, raw: bool) -> bool:
        try:
            interpreter.boot()
            if not self._run_scripts(interpreter, raw=raw):
                interpreter.start_repl(raw=raw)
                interpreter.run_repl()
                raw = interpreter.in_raw_repl
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            if self._cut:
                raise PowerCut from None
            # What a chip answers with a fault and a reset, such as a stack that C's own guard did not save.
            _log.warning("the interpreter crashed: %s", error)
            self._console.write(b"\r\nFATAL: the interpreter crashed\r\n")
            self._cause = _HARD_RESET
            raise PowerCut from None
        return raw

    def _run_scripts(self, interpreter: Interpreter, *, raw: bool) -> bool:
        """Run ``boot.py`` and ``main.py``; True when one of them asks for a soft reset."""
        ending = self._run_if_there(interpreter, "/boot.py")
        # A boot.py that fails keeps main.py from running.
        if ending == fw.NORMAL_EXIT and not raw:
            ending = self._run_if_there(interpreter, "/main.py")
        return bool(ending & fw.FORCED_EXIT)

    def _run_if_there(self, interpreter: Interpreter, path: str) -> int:
        try:
            found = not self._files.stat(path).is_dir
        except OSError:
            found = False
        return interpreter.run_file(path) if found else fw.NORMAL_EXIT

    def _reset_by_program(self) -> None:
        self._cause = _HARD_RESET
        # Whoever connects from now on talks to the next life, not to the ring of this one.
        self._receiver.serve(None)
        if self._options.reset_drops_link:
            self.detach()
        raise PowerCut

    # -- power and plug

    def _stop(self) -> None:
        self._cut = True
        self._compiled.engine.increment_epoch()
        self._bell.ring()
        wire = self._wire
        if wire is not None:
            wire.nudge()

    def reset(self) -> None:
        """Pull the reset line: files stay, everything else starts anew."""
        self._need_plug()
        if self._options.reset_drops_link:
            self.detach()
        with self._state:
            self._cause = _HARD_RESET
            before = self._lives
            self._stop()
            self._state.wait_for(lambda: self._lives != before, _PATIENCE)

    def unplug(self) -> None:
        """Pull the plug: the wire ends and, without a supply of its own, the program."""
        with self._state:
            self._plugged = False
        self.detach()
        if self._options.keeps_power:
            return
        with self._state:
            self._powered = False
            self._stop()
            self._state.wait_for(lambda: self._resting, _PATIENCE)

    def replug(self) -> None:
        """Plug in again. A board that was without power starts anew, with its files."""
        with self._state:
            if not self._powered:
                self._cause = _PWRON_RESET
            self._plugged = self._powered = True
            self._state.notify_all()

    def _need_plug(self) -> None:
        if not self._plugged:
            raise DeviceNotFound("the virtual board is unplugged; call replug() first")

    # -- the wire

    def attach(self, end: socket.socket | int, name: str) -> None:
        """Connect a wire, whose descriptor becomes the board's."""
        wire = Wire(end, name)
        try:
            with self._state:
                self._need_plug()
                other = self._wire
                if other is not None and not other.is_cut and not other.other_end_is_gone():
                    raise DeviceBusy(
                        f"the virtual board's port is open as {other.name}; close that first", holder=other.name
                    )
            # What the last host sent before it closed, such as a Ctrl-B, still counts.
            if other is not None:
                self._reader.join(_LAST_BYTES)
            self.detach()
        except BaseException:  # it goes on when nothing is left open
            wire.close()
            raise
        self._wire = wire
        self._console.connect(wire)
        self._reader = threading.Thread(target=self._serve, args=(wire,), name="wire", daemon=True)
        self._reader.start()

    def detach(self) -> None:
        """End the wire, if there is one. The board runs on; its output is discarded."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut()
            self._console.disconnect(wire)

    def _serve(self, wire: Wire) -> None:
        try:
            self._receiver.pump(wire)
        finally:
            wire.cut()
            self._console.disconnect(wire)
            if self._wire is wire:
                self._wire = None
            wire.close()
