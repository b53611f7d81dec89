"""What `ThreadedTransport` asks of a pyserial object, and how it treats one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class BlockingPort(Protocol):
    """What is asked of a pyserial object. ``cancel_read`` and ``cancel_write`` are used where there are any."""

    timeout: float | None
    dtr: bool
    rts: bool

    @property
    def in_waiting(self) -> int: ...
    def read(self, size: int = 1, /) -> bytes: ...
    def write(self, data: bytes, /) -> int | None: ...
    def close(self) -> None: ...


def quietly(call: Callable[[], object]) -> None:
    """Call what only tidies up. Never raises."""
    try:
        call()
    except Exception as exc:  # noqa: BLE001  what a port that has gone says at its closing helps nobody
        _log.debug("while closing a port: %r", exc)


def apply_lines(device: BlockingPort, dtr: bool | None, rts: bool | None) -> None:
    """Set what is not None, one after the other, by a way that does not pass DTR off with RTS on.

    That pair resets ESP boards: so RTS goes off first, and comes on last.
    """
    if rts is False:
        device.rts = rts
    if dtr is not None:
        device.dtr = dtr
    if rts is True:
        device.rts = rts
