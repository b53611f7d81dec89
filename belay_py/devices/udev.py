"""What Linux's udev tells of serial ports that come and go, with pyudev, the extra ``udev``.

It saves the wait for the next look, no more: in a container no such message may ever come, so the looks go on.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

_log = logging.getLogger(__name__)


class PortEvents:
    """The messages about serial ports. `fileno` is readable when there are some; `drain` reads them."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return int(self._monitor.fileno())

    def drain(self) -> bool:
        """Read what is there, without waiting; return whether a port has come. Never raises."""
        came = False
        try:
            while (device := self._monitor.poll(0)) is not None:
                came = came or device.action in ("add", "move", "change", "online")
        except Exception as error:  # noqa: BLE001  a queue that has overflown raises OSError; other versions, others
            _log.debug("udev's messages could not be read: %r", error)
            return True  # whatever it was, a look tells
        return came

    def close(self) -> None:
        """End it: the descriptor goes with the monitor, whose only owner this is."""
        self._monitor = None


def port_events() -> PortEvents | None:
    """Open udev's messages about serial ports; None where there are none: no Linux, no pyudev, no libudev."""
    if sys.platform != "linux":
        return None
    try:
        import pyudev  # noqa: PLC0415  an extra

        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="udev")
        monitor.filter_by("tty")
        monitor.start()
    except Exception as error:  # noqa: BLE001  not installed, no libudev.so, no permission: each raises its own
        _log.debug("udev does not tell of ports: %r", error)
        return None
    return PortEvents(monitor)
