"""The blocking `detect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from belay_py.errors import SessionClosed
from belay_py.session import detect as asynchronous
from belay_py.sync.loop_thread import loop_thread

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from belay_py.options import DeviceSessionOptions
    from belay_py.session.detect import Detection

_T = TypeVar("_T")


def detect(port: str | DeviceSessionOptions, *, timeout: float = asynchronous.TIMEOUT, **options: Any) -> Detection:
    """See `belay_py.detect`."""
    return run(asynchronous.detect(port, timeout=timeout, **options))


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run on the loop's thread what belongs to no session; Ctrl-C cancels it, and its own cleanup is awaited."""
    thread = loop_thread()
    if thread.ended:
        coroutine.close()
        raise SessionClosed("the program is ending, and no port is opened any more; look at ports before that")
    return thread.run(coroutine, settle=_nothing)


async def _nothing() -> None:
    """What is left to settle once it was cancelled."""
