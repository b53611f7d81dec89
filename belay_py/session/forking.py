"""What a forked child does with the connections of its parent: it lets go of them, and never says a word on them.

A child that ends by an exception unwinds what its parent had begun: `asyncio.run` cancels the tasks that the child has
copies of, and a recovery would send Ctrl-C to the parent's board. Serial ports and lock files let go by themselves, see
`belay_py.transports.serial_device` and `belay_py.devices.locks`; a socket that the child kept would keep the board
taken after its parent has closed it.

On Linux a child shares its parent's epoll, not a copy of it (epoll(7)): when the child's copy of the event loop is
closed, at `sys.exit` too, the parent's loop would never again hear of its threads, and a connect there would hang.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from belay_py.session.wire import Wire

_open: weakref.WeakSet[Wire] = weakref.WeakSet()
_loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def watch(wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
    """Let a child that is forked from now on let go of this connection, and of ``loop``, which it belongs to."""
    _open.add(wire)
    _loops.add(loop)


def _after_fork() -> None:
    for wire in list(_open):
        transport = wire.let_go()
        inherited = getattr(getattr(transport, "traced", transport), "_sock", None)
        if inherited is not None:
            with contextlib.suppress(OSError):
                inherited.close()  # the child's descriptor only: the connection is open as long as the parent's is
    _open.clear()
    for loop in list(_loops):
        if not loop.is_closed():
            _give_own_epoll(loop)
    _loops.clear()


def _give_own_epoll(loop: asyncio.AbstractEventLoop) -> None:
    """Put an epoll of the child's own, with all that is still open in it, in the place of the one it shares."""
    selector = getattr(loop, "_selector", None)  # there is no public way to it; uvloop has none, and goes without
    if sys.platform != "linux" or not isinstance(selector, selectors.EpollSelector):
        return
    import select  # noqa: PLC0415  only a child needs it

    with contextlib.suppress(OSError), select.epoll() as own:
        for key in list(selector.get_map().values()):
            events = select.EPOLLIN * bool(key.events & selectors.EVENT_READ)
            events |= select.EPOLLOUT * bool(key.events & selectors.EVENT_WRITE)
            with contextlib.suppress(OSError):  # of a connection that was let go
                own.register(key.fd, events)
        os.dup2(own.fileno(), selector.fileno(), inheritable=False)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
