"""A board by script behind a wire: it answers as MicroPython does, but for what the script says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from belay_py.testing.interpreter import Interpreter
from belay_py.testing.repl import Mode, RawPaste
from belay_py.testing.steps import HardReset, Lose, Silence, SoftReset, printed
from belay_py.transports.memory import memory_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.testing.steps import Answer, OutsideStep


class ScriptedBoard(Interpreter):
    """A board behind a ``memory:`` port, in this process and in one event loop's thread. Keep a reference to it.

    It has MicroPython's prompts, raw-paste and resets, and knows what a session asks. It cannot run Python: ``on_code``
    is called with all other code and returns what becomes of it, see `belay_py.testing.steps`.

    ``raw_paste``, ``window`` (bytes of one credit) and ``on_code`` can be changed at any time; ``marks`` False is a
    board without ``sys.stdout``. ``chunks`` bytes arrive at the host at a time; 0 is all at once.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        on_code: Callable[[str], Answer] | None = None,
        raw_paste: RawPaste = "supported",
        window: int = 128,
        marks: bool = True,
        chunks: int = 0,
        mode: Literal["friendly", "raw"] = "friendly",
    ) -> None:
        super().__init__(on_code=on_code, raw_paste=raw_paste, window=window, marks=marks, mode=Mode(mode))
        _, self._wire = memory_pair(name)
        self._wire.on_data = self._on_data
        self._receiving = False
        self._outbox = bytearray()
        self.chunks = chunks
        self.away: float | None = None
        """How many seconds its port is gone when its chip restarts, as with native USB. None keeps the link, as boards
        with a USB-to-serial chip do."""
        self.silent = False
        """Whether it hangs: it neither hears nor says anything."""

    # -- what a test looks at -----------------------------------------------------------------------------------

    @property
    def port(self) -> str:
        """The port to give to a session."""
        return self._wire.port

    @property
    def connected(self) -> bool:
        """Whether somebody has the port open."""
        return self._wire.connected

    @property
    def connections(self) -> int:
        """How often the port was opened."""
        return self._wire.connections

    @property
    def received(self) -> bytes:
        """All that the host has sent."""
        return bytes(self._wire.received)

    @property
    def lines(self) -> list[tuple[bool | None, bool | None]]:
        """How DTR and RTS were set, in order; each connection begins with what it was opened with."""
        return self._wire.lines

    # -- what happens to it -------------------------------------------------------------------------------------

    def send(self, data: str | bytes) -> None:
        """Send to the host, whatever the board is doing: noise, the output of a thread. Text gets ``\\r\\n``."""
        if not self.silent:
            self._outbox += printed(data)
            if not self._receiving:
                self._flush()

    def lose(self, reason: str = "") -> None:
        """Lose the link, after what was sent has arrived. The board runs on, and the port can be opened again."""
        self._flush()
        self._wire.lose(OSError(reason) if reason else None)

    def unplug(self) -> None:
        """Take board and port away; without power nothing runs."""
        self.lose("unplugged")
        self._wire.plugged = False
        self._stop_program()
        self.silent = True

    def replug(self) -> None:
        """Bring port and board back; it boots to its friendly prompt."""
        self._wire.plugged = True
        self.silent = False
        self._hard_reset()

    def restart(self, how: SoftReset | HardReset | None = None) -> None:
        """Restart it, as a watchdog or a button does: the chip, if nothing else is asked for."""
        self.silent = False
        if isinstance(how, SoftReset):
            self._act(how)
        else:
            self._take_outside(how or HardReset())

    def stop_reading(self) -> None:
        """Take no more bytes: they pile up at the host."""
        self._wire.stall()

    def resume(self) -> None:
        """Take bytes again."""
        self._wire.resume()

    # -- internals ----------------------------------------------------------------------------------------------

    def _take_outside(self, step: OutsideStep) -> None:
        if isinstance(step, HardReset):
            if self.away is None:
                self._hard_reset()
            else:
                self.unplug()
                asyncio.get_running_loop().call_later(self.away, self.replug)
        elif isinstance(step, Lose):
            self.lose(step.reason)
        elif isinstance(step, Silence):
            self._flush()
            self.silent = True
        else:
            self.stop_reading()

    def _on_data(self, data: bytes) -> None:
        if self.silent:
            return
        # What one write of the host brings about goes back in one piece.
        self._receiving = True
        try:
            self._receive(data)
        finally:
            self._receiving = False
            self._flush()

    def _flush(self) -> None:
        data = bytes(self._outbox)
        self._outbox.clear()
        size = self.chunks or max(len(data), 1)
        for start in range(0, len(data), size):
            self._wire.feed(data[start : start + size])
