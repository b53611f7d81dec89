"""The boards of this process, by the names in their URLs: from their start to their close, one of each name.

One that was given no name ends before that when nobody has it any more, as with a session that is never closed.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING

from belay_py.errors import DeviceBusy

if TYPE_CHECKING:
    from belay_py.virtual.process import BoardProcess

_boards: weakref.WeakValueDictionary[str, BoardProcess] = weakref.WeakValueDictionary()
_kept: dict[str, BoardProcess] = {}
# Reentrant: a signal handler or a destructor may close a board while its thread is in here.
_lock = threading.RLock()


def enter(board: BoardProcess) -> BoardProcess:
    """Note a board under its name, and return the one that has it: another one, if that was there and has not ended."""
    with _lock:
        found = _boards.get(board.name)
        if found is None or found.has_ended:
            found = _boards[board.name] = board
            if board.is_named:
                _kept[board.name] = board
        return found


def require_name(board: BoardProcess) -> None:
    """Note a board under its name. Raises `DeviceBusy` while another one has it."""
    if enter(board) is not board:
        raise DeviceBusy(f"{board.port} exists already; use another name", holder=board.port)


def leave(board: BoardProcess) -> None:
    """Forget a board; its name is free."""
    with _lock:
        if _boards.get(board.name) is board:
            del _boards[board.name]
            _kept.pop(board.name, None)


@atexit.register
def close_boards() -> None:
    """Close every board. Runs at exit."""
    with _lock:
        boards = list(_boards.values())
    for board in boards:
        board.close()


def _after_fork() -> None:
    """In the child: the boards are its parent's, who goes on to use them; a lock may be held by nobody any more."""
    global _lock  # noqa: PLW0603  it is replaced where no other thread can be
    _boards.clear()
    _kept.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
