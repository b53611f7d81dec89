"""`PicoBoard`: the official Raspberry Pi Pico firmware on an emulator, behind a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import tempfile
import time
import tty
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from .artifacts import Artifacts

EMULATOR_HOST = Path(__file__).with_name("rp2040_board.mjs")
BOOT_TIMEOUT = 60.0
"""Seconds to the first answer. It takes about one; a loaded two-core machine may run several emulators at once."""


class BoardDidNotBoot(Exception):
    """The emulator ended, or the firmware did not answer in time; the message holds what the emulator said."""


class PicoBoard:
    """One board, from power-on to power-off.

    `port` is to be opened like any serial port. It stays when the board resets, as with a USB-to-serial chip on the
    board and unlike the Pico's own USB. Whoever closes it and opens it again finds what the board has said since.

    ``wires`` are jumper wires: pairs of a pin that is driven and the pin that gets its level, 26 to 29 as an analogue
    one.
    """

    def __init__(
        self, artifacts: Artifacts, *, wires: Iterable[tuple[int, int]] = (), boot_timeout: float = BOOT_TIMEOUT
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the board
        # The master goes to the emulator alone. The slave stays open here too, because a pty whose last slave is closed
        # gives its master EIO: a program that closes the port would switch the board off.
        master, self._slave = pty.openpty()
        try:
            tty.setraw(self._slave)  # or the board's output would be echoed to the board
            self.port = os.ttyname(self._slave)
            self._process = subprocess.Popen(
                [
                    *(artifacts.node, EMULATOR_HOST, artifacts.emulator, artifacts.boot_rom, artifacts.image),
                    *(str(master), *(f"{output}-{wired}" for output, wired in wires)),
                ],
                stdin=subprocess.PIPE,  # the lifeline: the kernel closes it when this process dies, however it dies
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[master],
            )
        except BaseException:
            os.close(self._slave)
            self._errors.close()
            raise
        finally:
            os.close(master)
        try:
            self._wait_until_it_answers(time.monotonic() + boot_timeout)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self._process.pid

    def close(self) -> None:
        """Switch the board off; safe to call twice."""
        if self._slave < 0:
            return
        slave, self._slave = self._slave, -1
        self._process.kill()  # it has no state to save
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(slave)
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_until_it_answers(self, deadline: float) -> None:
        # The banner is of no use: it comes once, and only if the firmware finds a host in time. An expression whose
        # value differs from its echo proves that the interpreter runs, and everything said before is read with it.
        os.write(self._slave, b"\r\x03'up' 'on'\r")
        seen = b""
        while b"'upon'\r\n>>> " not in seen:
            readable, _, _ = select.select([self._slave], [], [], 0.1)
            if readable:
                seen += os.read(self._slave, 4096)
            elif self._process.poll() is not None:
                raise BoardDidNotBoot(f"the emulator ended with {self._process.returncode}: {self._complaint()}")
            elif time.monotonic() > deadline:
                raise BoardDidNotBoot(f"no answer in time; seen: {seen!r}; {self._complaint()}")

    def _complaint(self) -> str:
        with contextlib.suppress(OSError):
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace").strip()
        return ""
