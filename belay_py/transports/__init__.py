"""Open byte streams to boards: one function, and a registry that maps URL schemes to what opens them.

A port without a scheme (``/dev/ttyACM0``, ``COM3``) is a serial port. Openers are imported when first used, so that a
script with a board on USB does not pay for sockets, RFC 2217 or the virtual board.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from functools import partial
from typing import cast

from belay_py.devices.identity import scheme_of
from belay_py.errors import ConnectionFailed
from belay_py.transports.base import LinkOptions, Opener, Receiver, SupportsLines, Transport
from belay_py.transports.offload import offload

__all__ = ["LinkOptions", "Opener", "Receiver", "SupportsLines", "Transport", "open_transport", "register", "schemes"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
# pyserial-asyncio has no asynchronous reads on Windows (its own docstring says so).
_SERIAL = "blocking:open_threaded" if sys.platform == "win32" else "serial_port:open_serial"

_openers: dict[str, Opener | str] = {
    "usb": "url:open_usb",
    "socket": "url:open_socket",
    "rfc2217": "url:open_rfc2217",
    # Of pyserial. Left out: spy://, which prints and never closes its file, and cp2110://, which needs a HID library.
    "loop": "blocking:open_threaded",
    "alt": "blocking:open_threaded",
    "hwgrep": "blocking:open_pattern",
    "process": "process:open_process",
    "process+pty": "process:open_process",
    "virtual": "virtual:open_virtual",
    "memory": "memory:open_memory",
}


def register(scheme: str, opener: Opener) -> None:
    """Let ``opener`` open the ports that begin with ``scheme:``, in place of what did before.

    Raises `ConnectionFailed` when the scheme is not at least two lower-case letters, digits, ``+``, ``-`` or dots.
    """
    if not _SCHEME.fullmatch(scheme):
        raise ConnectionFailed(f"{scheme!r} cannot be a scheme: use two or more of a-z, 0-9, '+', '-' and '.'")
    _openers[scheme] = opener


def schemes() -> list[str]:
    """The schemes that can be opened, sorted."""
    return sorted(_openers)


async def open_transport(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Open ``port`` and connect it to ``receiver``, whose ``connection_made`` has been called on return.

    ``port`` is a path, a COM name, ``usb:VID:PID[:SERIAL]``, ``socket://host:port``, ``rfc2217://host:port``,
    ``process:COMMAND``, ``process+pty:COMMAND``, ``virtual:[NAME]``, ``memory:NAME``, one of pyserial's ``loop://``,
    ``alt://PATH`` and ``hwgrep://PATTERN``, or begins with a scheme that was registered. There is no
    deadline here: cancel it, and nothing stays open.

    Raises `DeviceNotFound`, `DeviceBusy`, `ConnectionFailed` or `SettingsError`.
    """
    opener = _opener(port)
    if isinstance(opener, str):
        opener = await _load_beside_the_loop(opener)
    return await opener(port, receiver, options)


def _opener(port: str) -> Opener | str:
    if not port.strip():
        raise ConnectionFailed("no port was named: use a path such as /dev/ttyACM0, usb:VID:PID, or virtual:")
    scheme = scheme_of(port)
    if scheme is None:
        return _SERIAL
    opener = _openers.get(scheme)
    if opener is None:
        near = difflib.get_close_matches(scheme, _openers, n=1)
        hint = f"did you mean {near[0]}:? " if near else ""
        known = ", ".join(f"{known}:" for known in schemes())
        raise ConnectionFailed(f"cannot open {port!r}: {hint}use a path such as /dev/ttyACM0, or one of {known}")
    return opener


async def _load_beside_the_loop(where: str) -> Opener:
    """Importing takes up to 0.2 s the first time, and the loop may be serving others."""
    if f"{__name__}.{where.partition(':')[0]}" in sys.modules:
        return _load(where)
    return await offload(partial(_load, where), lambda _: None, name=f"belay importing {where}")


def _load(where: str) -> Opener:
    module, _, name = where.partition(":")
    try:
        return cast("Opener", getattr(importlib.import_module(f"{__name__}.{module}"), name))
    except ImportError as exc:
        raise ConnectionFailed(f"this kind of port needs more than is installed ({exc}): see the extras") from exc
