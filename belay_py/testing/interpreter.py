"""An interpreter whose programs are scripts: it takes code at its prompts, and steps instead of running it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from belay_py.protocol.codes import CTRL_C, CTRL_D
from belay_py.testing.housekeeping import Housekeeping, split_marker
from belay_py.testing.player import Player
from belay_py.testing.repl import Mode, RawPaste, Repl, traceback
from belay_py.testing.steps import Answer, Instead, Raise, Read, SoftReset, SwallowInterrupts, printed, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.testing.steps import ActiveStep, OutsideStep

Ending = Literal["running", "done", "raised", "interrupted", "instead", "reset"]

_GREETING = b'MicroPython v1.29.0 on 2026-01-01; A board by script\r\nType "help()" for more information.\r\n'


@dataclass(slots=True)
class Execution:
    """One piece of code that the board was given and ran, with what it wrote. A session's own code is none."""

    code: str
    """As it was handed to the session, without a line break at its end."""
    output: bytes = b""
    input: bytes = b""
    """What its `Read` steps have taken."""
    ended: Ending = "running"
    """``instead``: the script ended the response with bytes of its own; ``reset``: by a restart, whatever caused it."""


class Interpreter(ABC):
    """MicroPython's prompts, what a session asks of it, and scripts for everything else."""

    def __init__(
        self, *, on_code: Callable[[str], Answer] | None, raw_paste: RawPaste, window: int, marks: bool, mode: Mode
    ) -> None:
        self._repl = Repl(greeting=_GREETING, send=self.send, run=self._run, reset=self._soft_reset)
        self._repl.mode = mode
        self._repl.raw_paste = raw_paste
        self._repl.window = window
        self._housekeeping = Housekeeping(marks=marks)
        self._ahead: deque[bytes] = deque()
        self._program: Player | None = None
        self._execution = Execution("")
        self._marker = b""
        self._taking_type_ahead = False
        self._awaited: bytes | None = None
        self._swallowed = 0.0
        self._booting = False
        self.on_code: Callable[[str], Answer] = on_code or (lambda code: None)
        self.about: Answer = None
        """What it does when a session asks what it is; None is a truthful answer."""
        self.boot: Answer = None
        """What ``boot.py`` does at each restart."""
        self.executions: list[Execution] = []
        """What it ran, in order, over every connection."""
        self.boots = 1
        """How many lives its interpreter has had."""

    @abstractmethod
    def send(self, data: str | bytes) -> None:
        """Send to the host, whatever the board is doing: noise, the output of a thread."""

    @abstractmethod
    def _take_outside(self, step: OutsideStep) -> None:
        """Take a step that is not the interpreter's affair."""

    @property
    def running(self) -> bool:
        """Whether a program runs, or ``boot.py``."""
        return self._program is not None

    @property
    def raw_paste(self) -> RawPaste:
        """What it makes of the request for raw-paste."""
        return self._repl.raw_paste

    @raw_paste.setter
    def raw_paste(self, value: RawPaste) -> None:
        self._repl.raw_paste = value

    @property
    def window(self) -> int:
        """Bytes of one raw-paste credit."""
        return self._repl.window

    @window.setter
    def window(self, value: int) -> None:
        self._repl.window = value

    def leave_raw(self) -> None:
        """Be at the friendly prompt, as if somebody else had used the board."""
        self._stop_program()
        self._repl.be_at(Mode.FRIENDLY)

    def abort_upload(self, after: int, error: str = "MemoryError: memory allocation failed") -> None:
        """Give up the next raw-paste that reaches ``after`` bytes of code, with this as the traceback."""
        self._repl.abort_after = after
        self._repl.abort_error = printed(error.rstrip("\n") + "\n")

    # -- input --------------------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        interrupted = False
        for value in data:
            byte = bytes([value])
            if self._program is None:
                self._repl.receive(byte)
            elif byte == CTRL_C:
                self._ahead.clear()  # as the Pico does
                interrupted = True
            else:
                self._ahead.append(byte)
                self._continue_reading()
        # The interpreter looks for an interrupt when all has been received, so two in a piece are one.
        if interrupted:
            self._interrupt()

    def _take_type_ahead(self) -> None:
        if self._taking_type_ahead:
            return  # a program that was typed ahead has ended: the loop below goes on
        self._taking_type_ahead = True
        try:
            while self._ahead and self._program is None:
                self._repl.receive(self._ahead.popleft())
        finally:
            self._taking_type_ahead = False

    def _continue_reading(self) -> None:
        """Go on with the program if it has been waiting for what has come."""
        awaited, there = self._awaited, b"".join(self._ahead)
        if self._program is None or awaited is None or awaited not in there:
            return
        self._awaited = None
        taken = there[: there.index(awaited) + len(awaited)]
        for _ in taken:
            self._ahead.popleft()
        self._execution.input += taken
        self._program.start()

    # -- programs -----------------------------------------------------------------------------------------------

    def _run(self, code: bytes) -> None:
        code, self._marker = split_marker(code)
        self._execution = Execution(code.decode("utf-8", "replace"))
        if self._housekeeping.asks_about(code) and self.about is not None:
            self._start(self.about)
        elif (known := self._housekeeping.answer(code)) is not None:
            self._start(known)
        else:
            self.executions.append(self._execution)
            self._start(self.on_code(self._execution.code))

    def _start(self, answer: Answer) -> None:
        self._swallowed = 0.0
        self._awaited = None
        self._program = Player(steps_of(answer), self._act, self._end)
        self._program.start()

    def _act(self, step: ActiveStep) -> bool:
        """Take one step; return whether the program goes on."""
        match step:
            case str() | bytes():
                self._execution.output += printed(step)
                self.send(step)
            case Read():
                self._awaited = step.until
                self._continue_reading()
            case Raise():
                self._finish("raised", traceback(step.type, step.message))
            case Instead():
                self._stop_program("instead")
                self.send(step.data)
                self._take_type_ahead()
            case SwallowInterrupts():
                self._swallowed = step.times
            case SoftReset():
                if self._program is not None and not self._booting and self._repl.mode is Mode.RAW:
                    self.send(CTRL_D + CTRL_D)
                self._soft_reset()
            case _:
                self._take_outside(step)
        return not isinstance(step, Read | Raise | Instead | SoftReset) and self._program is not None

    def _interrupt(self) -> None:
        if self._swallowed > 0:
            self._swallowed -= 1
        else:
            self._finish("interrupted", traceback("KeyboardInterrupt"))

    def _end(self) -> None:
        self._finish("done")

    def _finish(self, ended: Ending, error: bytes = b"") -> None:
        """The program is over: say so as MicroPython does, and be at the prompt."""
        self._stop_program(ended)
        if self._booting:
            self._booting = False
            self.send(error)
            self._repl.greet()
        else:
            if self._marker and not error:
                if self._housekeeping.life is not None:
                    self.send(self._marker)
                else:
                    error = traceback("NameError", "name '_q' isn't defined")
            self._repl.finish(error)
        self._take_type_ahead()

    def _stop_program(self, ended: Ending = "reset") -> None:
        if self._program is not None:
            self._program.stop()
            self._program = None
            self._execution.ended = ended

    # -- restarts -----------------------------------------------------------------------------------------------

    def _soft_reset(self) -> None:
        self.send(b"MPY: soft reboot\r\n")
        self._boot()

    def _hard_reset(self) -> None:
        self._ahead.clear()
        self._repl.be_at(Mode.FRIENDLY)
        self._boot()

    def _boot(self) -> None:
        self._stop_program()
        self._housekeeping.life = None
        self.boots += 1
        self._booting = True
        self._execution, self._marker = Execution(""), b""
        self._start(self.boot)
