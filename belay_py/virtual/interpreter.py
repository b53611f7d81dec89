"""One life of the board's interpreter: an instance of MicroPython with its memory, from one reset to the next."""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING, Any

import wasmtime

from belay_py.virtual import firmware as fw
from belay_py.virtual.glue import HOST_FUNCTIONS, RingField
from belay_py.virtual.memory import Memory
from belay_py.virtual.ring import Ring
from belay_py.virtual.syscalls import BINARY_OUTPUT, STDIN_TEXT, TEXT_OUTPUT, Syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual.bell import Bell
    from belay_py.virtual.compiled import Compiled
    from belay_py.virtual.console import Console
    from belay_py.virtual.filesystem import Filesystem
    from belay_py.virtual.options import VirtualBoardOptions

_PYSTACK_WORDS = 16 * 1024
_TICKS_MASK = (1 << 30) - 1
_PRECISE = 200e-6
"""Seconds below which a delay spins: a thread does not wake up that exactly."""
_ARMED = 3
_DEFAULT_WINDOW = 128
_PASTE_START = b"R\x01"
_BANNER_NEWLINE = b"\r\n"


class PowerCut(BaseException):
    """Ends the interpreter where it stands: a hard reset, or no more power."""


class Interpreter:
    """MicroPython from power-up to its end. `run` is the board's thread; `receive` and `interrupt` are the wire's."""

    def __init__(  # noqa: PLR0917  all are needed, and each type comes once
        self,
        compiled: Compiled,
        options: VirtualBoardOptions,
        files: Filesystem,
        console: Console,
        bell: Bell,
        is_cut: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._console = console
        self._bell = bell
        self._is_cut = is_cut
        self._clock = clock
        self._options = options
        self._started = time.monotonic()
        self._seen = 0
        self._booting = False
        self._skip = b""
        self._last_output = b""
        self.on_drained: Callable[[], None] = lambda: None
        self._syscalls = Syscalls(files, self, lambda: self.memory)
        self._store = wasmtime.Store(compiled.engine)
        self._store.set_epoch_deadline(1)
        try:
            self._exports = self._instantiate(compiled)
            self.memory = self._map_memory()
            self._interrupt_char = self.memory.word(fw.INTERRUPT_CHAR)
            self._pending = self.memory.word(fw.PENDING_EXCEPTION)
            self.ring = self._set_up()
        except BaseException:  # it goes on when nothing is left open
            self._store.close()
            raise

    # -- construction

    def _instantiate(self, compiled: Compiled) -> dict[str, Any]:
        store = self._store
        setjmp = wasmtime.Instance(store, compiled.setjmp, []).exports(store)
        imports = self._imports()
        given = []
        for wanted in compiled.micropython.imports:
            name = wanted.name or ""
            if name in setjmp:
                given.append(setjmp[name])
                continue
            if not isinstance(wanted.type, wasmtime.FuncType):
                raise TypeError(f"unexpected import {name}")
            given.append(wasmtime.Func(store, wanted.type, imports.get(name) or _missing(name, wanted.type)))
        micropython = wasmtime.Instance(store, compiled.micropython, given).exports(store)
        host = self._host_functions()
        modules = {"mp": micropython, "setjmp": setjmp}
        given = []
        for wanted in compiled.console.imports:
            name = wanted.name or ""
            if wanted.module == "host":
                if not isinstance(wanted.type, wasmtime.FuncType):
                    raise TypeError(f"unexpected import {name}")
                given.append(wasmtime.Func(store, wanted.type, host[name]))
            else:
                given.append(modules[wanted.module][name])
        console = wasmtime.Instance(store, compiled.console, given).exports(store)
        return {**{str(k): v for k, v in micropython.items()}, **{str(k): v for k, v in console.items()}}

    def _map_memory(self) -> Memory:
        pointer = self._exports["memory"].data_ptr(self._store)
        return Memory(ctypes.addressof(pointer.contents))

    def _set_up(self) -> Ring:
        options, memory = self._options, self.memory
        self._call("emscripten_stack_init")
        self._call("__wasm_call_ctors")
        address = self._call("malloc", Ring.size(options.ring))
        ring = Ring(memory, address, options.ring)
        memory.word(address + RingField.WINDOW).value = options.window
        memory.word(address + RingField.PASTE).value = ("on", "refused", "absent").index(options.raw_paste)
        memory.word(address + RingField.HEAP).value = options.memory
        self._call("setup", address)
        # All of the heap at once, since it costs nothing until it is used. The port would double it as needed, but
        # reckons 13/512 for an area's tables where 1.29, with weak references, takes 1/32: bytearray(10**6) failed.
        self._call("mp_js_init", _PYSTACK_WORDS, options.memory)
        self._call("proxy_c_init")
        # Text and binary files get descriptors of their own, so that the host can tell them apart.
        memory.word(fw.TEXT_FILES[0]).value = STDIN_TEXT
        for address in fw.TEXT_FILES[1:]:
            memory.word(address).value = TEXT_OUTPUT
        for address in fw.BUFFER_FILES[1:]:
            memory.word(address).value = BINARY_OUTPUT
        return ring

    def _call(self, name: str, *arguments: int) -> Any:
        return self._exports[name](self._store, *arguments)

    def close(self) -> None:
        """Free the instance. Nothing may use its memory or ring any more."""
        self._syscalls.close_all()
        self._exports.clear()
        self._store.close()

    # -- the board's thread

    def boot(self) -> None:
        """Complete what C has set up, as a board's frozen ``_boot.py`` does; Ctrl-C does not stop it."""
        self._booting = True
        self.run_file("/rom/_boot.py")
        self._booting = False

    def run_file(self, path: str) -> int:
        """Run a file as a board runs ``boot.py``; give C's result: FORCED_EXIT, NORMAL_EXIT, or 0 for a traceback."""
        raw = path.encode() + b"\0"
        name = self._call("malloc", len(raw))
        self.memory.write(name, raw)
        ending: int = self._call("parse_compile_execute", name, fw.FILE_INPUT, fw.SOURCE_IS_FILENAME)
        self._call("free", name)
        return ending

    def start_repl(self, *, raw: bool) -> None:
        """Print the banner and be at the prompt."""
        self.memory.word(fw.REPL_MODE).value = fw.RAW_REPL if raw else 0
        # The event-driven REPL starts as if by Ctrl-B, with an empty line that boards do not print here.
        self._skip = b"" if raw else _BANNER_NEWLINE
        self._call("mp_js_repl_init")
        self._skip = b""

    @property
    def in_raw_repl(self) -> bool:
        """Whether the REPL is the raw one."""
        return self.memory.word(fw.REPL_MODE).value == fw.RAW_REPL

    def run_repl(self) -> None:
        """Serve the REPL until the program or the user asks for a soft reset."""
        self._call("repl")

    # -- the wire's thread

    @property
    def takes_interrupts(self) -> bool:
        """Whether Ctrl-C is an interrupt at present, and not a byte."""
        return self._interrupt_char.value == _ARMED and not self._booting

    def wake(self) -> None:
        """Tell the board's thread that bytes are in the ring."""
        self._bell.ring()

    def interrupt(self) -> None:
        """Do what mp_sched_keyboard_interrupt does, which an interrupt handler calls while the program runs."""
        memory = self.memory
        memory.word(fw.KBD_TRACEBACK).value = 0
        self._pending.value = fw.KBD_EXCEPTION
        state = memory.half(fw.SCHED_STATE)
        if state.value == fw.SCHED_IDLE:
            state.value = fw.SCHED_PENDING
        # A handler runs between two instructions of the program, this beside it: if the program ended meanwhile, C has
        # disarmed Ctrl-C first and looked for a pending exception after that, maybe too early.
        if not self.takes_interrupts:
            self._pending.value = 0
        self._bell.ring()

    # -- what C calls

    def _imports(self) -> dict[str, Callable[..., Any]]:
        return {
            **self._syscalls.imports(),
            "mp_js_random_u32": lambda: int.from_bytes(os.urandom(4), "little", signed=True),
            "mp_js_ticks_ms": lambda: int((time.monotonic() - self._started) * 1000) & 0x7FFFFFFF,
            "mp_js_time_ms": lambda: self._clock() * 1000,
            "emscripten_resize_heap": self._grow,
        }

    def _host_functions(self) -> dict[str, Callable[..., Any]]:
        functions: dict[str, Callable[..., Any]] = {
            "wait_input": self._wait_input,
            "wait_event": self._wait_event,
            "drained": self._drained,
            "delay": self._delay,
            "ticks_us": lambda: int((time.monotonic() - self._started) * 1e6) & 0x7FFFFFFF,
        }
        if tuple(functions) != HOST_FUNCTIONS:
            raise AssertionError("glue and host disagree")
        return functions

    def _drained(self) -> None:
        self.on_drained()

    def _grow(self, size: int) -> int:
        memory = self._exports["memory"]
        pages = -(-(size & 0xFFFFFFFF) // 65536)
        try:
            memory.grow(self._store, max(0, pages - memory.size(self._store)))
        except wasmtime.WasmtimeError:
            return 0
        return 1

    def _check_power(self) -> None:
        if self._is_cut():
            raise PowerCut

    def _interrupted(self) -> bool:
        return bool(self._pending.value) and self.takes_interrupts

    def _wait_input(self) -> int:
        self._console.flush()
        while True:
            rings = self._bell.rings
            self._check_power()
            if self._interrupted():
                return 1
            if self.ring.pending:
                return 0
            if self.ring.stalled:
                self.on_drained()
            self._bell.wait(rings)

    def _wait_event(self, milliseconds: int) -> None:
        # As the WFE instruction: an event since the last wait ends this one at once.
        self._console.flush()
        self._check_power()
        self._bell.wait(self._seen, None if milliseconds < 0 else milliseconds / 1000)
        self._seen = self._bell.rings
        self._check_power()

    def _delay(self, microseconds: int) -> None:
        end = time.monotonic() + microseconds / 1e6
        if microseconds >= 1000:
            self._console.flush()
        while True:
            rings = self._bell.rings
            self._check_power()
            left = end - time.monotonic()
            if left <= 0 or self._pending.value:
                return
            if left > _PRECISE:
                self._bell.wait(rings, left)

    # -- the terminal behind the system calls

    def read_input(self, most: int) -> bytes | None:
        """Wait for input; None when interrupted."""
        if self._wait_input():
            return None
        data = self.ring.take(most)
        if self.ring.stalled:
            self.on_drained()
        return data

    def has_input(self) -> bool:
        """Whether a read would not wait."""
        return bool(self.ring.pending)

    def write_output(self, data: bytes, *, from_c: bool) -> None:
        """Send output. The window in the answer to raw-paste is a constant in C; here it becomes the set one."""
        self._check_power()
        if self._skip and data == self._skip:
            self._skip = b""
            return
        if from_c:
            window = self._options.window
            if window != _DEFAULT_WINDOW and self._last_output == _PASTE_START and data == b"\x80\x00\x01":
                data = window.to_bytes(2, "little") + b"\x01"
            self._last_output = data
        self._console.write(data)


def _missing(name: str, kind: wasmtime.FuncType) -> Callable[..., Any]:
    """Stand in for what only a browser has: the ``js`` module's functions do nothing and give 0."""
    results = [0.0 if str(result) in ("f32", "f64") else 0 for result in kind.results]

    def stand_in(*_: Any) -> Any:
        return results[0] if results else None

    stand_in.__name__ = name
    return stand_in
