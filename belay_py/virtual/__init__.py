"""A virtual board: real MicroPython 1.29 without hardware, in a process of its own.

It is MicroPython's own WebAssembly build, hosted by ``wasmtime`` (``pip install "belay_py[virtual]"``). Its C code runs
the REPL, raw-paste and the line editor; the host is its memory, wire, clock, files and pins. It differs from a chip in
these ways: garbage is collected between executions and not within one (`VirtualBoardOptions.memory` is the limit), and
there is no ``_thread``, ``network``, ``socket``, timer or pin interrupt. Files, ``machine`` and ``asyncio`` are there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from belay_py.virtual.board import VirtualBoard, open_board
    from belay_py.virtual.options import VirtualBoardOptions
    from belay_py.virtual.process import BoardProcess

__all__ = ["BoardProcess", "VirtualBoard", "VirtualBoardOptions", "open_board"]

_HOMES = {
    "BoardProcess": "process",
    "VirtualBoard": "board",
    "VirtualBoardOptions": "options",
    "open_board": "board",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
