"""What a board's serial driver does with bytes that arrive: Ctrl-C, the ring, and what happens when it is full."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from belay_py.virtual.interpreter import Interpreter
    from belay_py.virtual.wire import Wire

_CTRL_C = b"\x03"
_PACKET = 64
"""Bytes that are in the driver's hands while the ring is full: one packet of full-speed USB."""
_LOOK_AGAIN = 0.25
"""Seconds between looks at a stalled wire whose other end may be gone."""


class Receiver:
    """Moves bytes from wires into the ring of the interpreter that is alive."""

    def __init__(self, *, drops: bool) -> None:
        self._drops = drops
        self._lock = threading.Lock()
        self._interpreter: Interpreter | None = None
        self._room = threading.Event()
        self.lost = 0

    def serve(self, interpreter: Interpreter | None, *, carry: bool = False) -> None:
        """Fill this interpreter's ring from now on; with `carry` type-ahead moves over, as in a soft reset."""
        with self._lock:
            old, self._interpreter = self._interpreter, interpreter
            if interpreter is not None:
                interpreter.on_drained = self._drained
                if carry and old is not None:
                    interpreter.ring.put(old.ring.take(old.ring.capacity))
        self._room.set()

    def _drained(self) -> None:
        interpreter = self._interpreter
        if interpreter is not None:
            interpreter.ring.resume()
        self._room.set()

    def pump(self, wire: Wire) -> None:
        """Serve a wire until it ends."""
        while data := wire.read(self._appetite()):
            self._receive(data, wire)

    def _appetite(self) -> int:
        with self._lock:
            interpreter = self._interpreter
            if self._drops or interpreter is None:
                return 1 << 16
            return max(interpreter.ring.room, _PACKET)

    def _receive(self, data: bytes, wire: Wire) -> None:
        while data:
            self._room.clear()
            with self._lock:
                interpreter = self._interpreter
                if interpreter is not None:
                    data = self._take(interpreter, data)
                    if data and self._drops:
                        self.lost += len(data)
                        return
                    if data:
                        interpreter.ring.stall()
                        if interpreter.ring.room:  # it drained just before
                            continue
            # Without an interpreter the board is about to boot, and takes nothing until then.
            if data and not self._room.wait(_LOOK_AGAIN) and (wire.is_cut or wire.other_end_is_gone()):
                return

    def _take(self, interpreter: Interpreter, data: bytes) -> bytes:
        before, ctrl_c, after = data.partition(_CTRL_C)
        if ctrl_c and interpreter.takes_interrupts:
            if self._drops:
                interpreter.ring.put(before)
            else:
                # Boards with USB clear their ring here, see mp_usbd_cdc's users; a UART's type-ahead stays.
                interpreter.ring.flush()
            interpreter.interrupt()
            return after
        rest = data[interpreter.ring.put(data) :]
        interpreter.wake()
        return rest
