"""Where a session's board is now, and whether it is still the same one.

A name such as ``/dev/ttyACM0`` or ``COM3`` is given anew at each plugging in. So what the system said of the port is
remembered with every connect, and the next one opens the port of which it says the same, whatever its name has become.
Afterwards the board's own unique id is compared: it sees what the system cannot, such as two boards behind bridges
that have changed places.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from belay_py.devices.discovery import resolve, resolve_pattern
from belay_py.devices.identity import all_devices, can_be_listed, local_path, makes_its_board, real_path, scheme_of
from belay_py.devices.sightings import Sighting, Verdict, locate, named
from belay_py.errors import ConnectionFailed, DeviceNotFound, IdentityChanged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.devices.discovery import Comports, DeviceInfo

_log = logging.getLogger(__name__)

_SEARCHED = {"usb": resolve, "hwgrep": resolve_pattern}


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a board that was connected."""

    unique_id: str | None = None
    sighting: Sighting | None = None


class Place(NamedTuple):
    """A port to open, and what the system says of it, if that tells its board from others."""

    port: str
    sighting: Sighting | None = None
    is_listed: bool = False


class Whereabouts:
    """One board: the name it was given (``named``), what is ``known`` of it, and the ``port`` where it was last.

    ``comports`` lists the ports in place of the system, for tests: then nothing here blocks.
    """

    def __init__(self, named: str, comports: Comports | None = None) -> None:
        self.named = named
        self.port = named
        self.known = Known()
        self.told = False
        """Whether somebody was told that another board is in its place."""
        self.comports = comports
        self._search = _SEARCHED.get(scheme_of(named) or "")
        self._path = local_path(named)

    @property
    def can_be_seen(self) -> bool:
        """Whether the system can tell, without opening anything, that the board is there."""
        return self._path is not None or self._search is not None

    @property
    def has_to_be_found(self) -> bool:
        """Whether `find` has anything to look up. A look at sysfs, which reads nothing from any device."""
        if self._search is not None or self.known.sighting is not None:
            return True
        if self._path is None:
            return False
        return self.comports is not None or can_be_listed(real_path(self._path))

    def find(self, comports: Comports | None = None) -> Place:
        """Return the port to open. This lists the ports, and may block for a moment: not for an event loop.

        ``comports`` is a listing that several boards share.

        Raises `IdentityChanged` when the board is nowhere, and another one has its name; `DeviceNotFound` or
        `ConnectionFailed` for ``usb:`` and ``hwgrep://`` as `resolve` does.
        """
        comports = self.comports or comports
        devices, here = self._listed(comports)
        verdict = self._verdict(devices, here)
        if verdict.stranger is not None:
            raise self._another(str(self.known.sighting), named(verdict.stranger, with_place=True))
        device = verdict.device or here
        if device is None:
            return Place(self._search(self.named, comports) if self._search else self.named)
        # The given name where it still leads there: it may be a link that says more than what it leads to.
        port = self.named if device is here and self._search is None else device.port
        return Place(port, Sighting.of(device, devices), is_listed=True)

    def recognise(self, place: Place, unique_id: str | None, about: Mapping[str, object] | None = None) -> None:
        """Note that a board was connected at ``place``; ``about`` is what records of the log carry.

        Raises `IdentityChanged` when it is not the one of before.
        """
        before = self.known
        if makes_its_board(self.named):
            return
        self.verify(unique_id)
        if place.port != self.port and before != Known():
            what = "%s: the board that was at %s is at %s now"
            _log.info(what, self.named, self.port, place.port, extra=about)
        self.port = place.port
        self.told = False
        self.known = Known(unique_id or before.unique_id, place.sighting or before.sighting)

    def verify(self, unique_id: str | None) -> None:
        """Raise `IdentityChanged` for the unique id of another board than before."""
        before = self.known.unique_id  # none is ever known where opening the port makes the board
        if unique_id is not None and before not in (None, unique_id):
            raise self._another(before or "", unique_id)

    def forget(self) -> None:
        """Take whatever is connected next for the board."""
        self.known = Known()
        self.told = False

    def trace(self, comports: Comports | None = None) -> str | None:
        """Tell where the board is, in a text that changes when it is plugged in again; None while it is not there.

        May block as `find`.
        """
        try:
            place = self.find(comports) if self.has_to_be_found else Place(self.named)
        except (DeviceNotFound, ConnectionFailed, IdentityChanged):
            return None
        path = local_path(place.port)
        if path is not None:
            node = real_path(path)
            with contextlib.suppress(OSError, ValueError):  # a COM name, a listing by a test
                return f"{node} {Path(node).stat().st_ino}"  # the kernel makes a new node at each plugging in
        return place.port if place.is_listed else None

    # -- internals ----------------------------------------------------------------------------------------------

    def _listed(self, comports: Comports | None) -> tuple[list[DeviceInfo], DeviceInfo | None]:
        """The ports there are, and that which the given name leads to."""
        devices = all_devices(comports)
        path = self._path
        if self._search is not None:
            with contextlib.suppress(DeviceNotFound, ConnectionFailed):  # the board may be found by what is known of it
                path = self._search(self.named, comports)
        if path is None:
            return devices, None
        node = real_path(path)
        return devices, next((device for device in devices if real_path(device.port) == node), None)

    def _verdict(self, devices: list[DeviceInfo], here: DeviceInfo | None) -> Verdict:
        if self.known.sighting is None:
            return Verdict(None)
        return locate(self.known.sighting, here, devices, can_be_asked=self.known.unique_id is not None)

    def _another(self, expected: str, found: str) -> IdentityChanged:
        return IdentityChanged(
            f"the board of {self.named} was {expected}, and now {found} is there; plug the right one in, or connect() "
            "again to go on with this one",
            expected=expected,
            found=found,
        )
