"""One board per process of a run: a lock beside the port's own, held from a worker's first test to its last.

The port's own lock comes and goes with its connection, which a worker closes now and then, to hand the board from a
blocking session to an asynchronous one. Between two connections no other worker shall take it. Both are the core's
lock files: the kernel lets go of them when a worker dies.
"""

from __future__ import annotations

import os
import sys

from belay_py.devices.discovery import resolve
from belay_py.devices.identity import local_path, names, scheme_of
from belay_py.devices.lock_files import Taken, file_name, folders, lock_file
from belay_py.devices.locks import PortLock, take
from belay_py.errors import DeviceBusy


def claim(port: str, *, exclusive: bool = True) -> PortLock:
    """Claim the board behind ``port`` for this process, which has no connection to it.

    Raises `DeviceBusy` with its holder, also where ``exclusive`` and somebody else has the port, or `DeviceNotFound`.
    Boards of this process have no rivals. Where lock files cannot be written, and on Windows, the port's own
    exclusiveness has to do.
    """
    if sys.platform == "win32":
        return PortLock()
    where = resolve(port) if scheme_of(port) == "usb" else port
    path = local_path(where)
    if path is not None and not os.path.exists(path):  # noqa: PTH110  Path's raises for a folder that is closed to us
        return PortLock()  # opening it will say so, and no lock file is left behind for it
    held: list[int] = []
    try:
        for file in [folder / file_name(f"pytest-{name}") for name in names(where) for folder in folders()[:1]]:
            got = lock_file(file)
            if isinstance(got, Taken):
                whose = got.holder or "another process"
                advice = "end them, or start no more workers than boards (-n auto)"
                raise DeviceBusy(f"{port} is in use by the tests of {whose}: {advice}", holder=got.holder)
            held.append(got)
        take(where, exclusive=exclusive).release()
    except OSError:
        pass  # as where there are no lock files: the port's own lock is left
    except DeviceBusy:
        PortLock(*held).release()
        raise
    return PortLock(*held)
