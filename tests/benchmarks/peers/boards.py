"""The boards on which tools are compared, each behind a pseudo-terminal: the virtual board, and the emulated Pico."""

from __future__ import annotations

import os
import tty
from contextlib import contextmanager
from typing import TYPE_CHECKING

from belay_py.virtual import BoardProcess, VirtualBoardOptions
from tests.firmware import artifacts
from tests.firmware.board import PicoBoard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .links import Link


@contextmanager
def virtual(link: Link) -> Iterator[str]:
    """MicroPython 1.29 by WebAssembly. On a UART its receive ring of 260 bytes loses what comes too fast.

    The heap is that of a board with a little external memory. By default it is 32 MB, and to ask how much of that is
    free, which every connect does, takes the board itself 20 ms.
    """
    options = VirtualBoardOptions(overrun="drop" if link.loses else "stall", memory=4 << 20)
    with BoardProcess(None, options) as board:
        master, slave = os.openpty()
        tty.setraw(slave)
        try:
            board.attach(master)
            os.close(master)
            yield os.ttyname(slave)
        finally:
            os.close(slave)


@contextmanager
def pico(_: Link) -> Iterator[str]:
    """The official Pico firmware 1.25 on an emulated RP2040."""
    with PicoBoard(artifacts.fetch("v1.25.0")) as board:
        yield board.port


BOARDS: dict[str, Callable[[Link], AbstractContextManager[str]]] = {"virtual": virtual, "pico": pico}
TITLES = {"virtual": "Virtual board (MicroPython 1.29)", "pico": "Emulated Pico (official firmware 1.25)"}
