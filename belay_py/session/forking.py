"""What a forked child does with the connections of its parent: it lets go of them, and never says a word on them.

A child that ends by an exception unwinds what its parent had begun: `asyncio.run` cancels the tasks that the child has
copies of, and a recovery would send Ctrl-C to the parent's board. Serial ports and lock files let go by themselves, see
`belay_py.transports.serial_device` and `belay_py.devices.locks`; a socket that the child kept would keep the board
taken after its parent has closed it.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from belay_py.session.wire import Wire

_open: weakref.WeakSet[Wire] = weakref.WeakSet()


def watch(wire: Wire) -> None:
    """Let a child that is forked from now on let go of this connection."""
    _open.add(wire)


def _after_fork() -> None:
    for wire in list(_open):
        transport = wire.let_go()
        inherited = getattr(getattr(transport, "traced", transport), "_sock", None)
        if inherited is not None:
            with contextlib.suppress(OSError):
                inherited.close()  # the child's descriptor only: the connection is open as long as the parent's is
    _open.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
