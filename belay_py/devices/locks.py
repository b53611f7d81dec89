"""One owner per board among the processes of this machine: lock files for its names, held with flock.

The lock is taken before the port is opened, because opening alone may reset the board of whoever has it. The kernel
lets go of it when its process ends, however it ends, so no lock is ever stale. The file stays: who unlinks a file that
another one is just about to lock makes two owners.

Where lock files cannot be written, the port's own exclusiveness has to do (TIOCEXCL, pyserial's flock): a port that
works is worth more than a lock. On Windows ports are always exclusive, and nothing is needed here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys

from belay_py.devices.identity import local_path, names
from belay_py.devices.lock_files import FOLDER_VARIABLE, Taken, file_name, folders, lock_file
from belay_py.errors import DeviceBusy

__all__ = ["FOLDER_VARIABLE", "PortLock", "take"]

_log = logging.getLogger(__name__)

_held: set[PortLock] = set()
"""What a forked child must let go of."""


class PortLock:
    """A lock that is held until `release`. One without descriptors locks nothing."""

    def __init__(self, *descriptors: int) -> None:
        # With what they refer to: a descriptor closed behind our back may have become somebody else's file.
        self._files = {fd: _file_of(fd) for fd in descriptors}
        if descriptors:
            _held.add(self)

    @property
    def is_held(self) -> bool:
        """Whether there is a lock, and it was not released yet."""
        return bool(self._files)

    def release(self) -> None:
        """Let go. Any number of times, never raises."""
        _held.discard(self)
        for fd in self._taken_out():
            import fcntl  # noqa: PLC0415  Windows has none, and never gets here

            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
            with contextlib.suppress(OSError):
                # Expressly, not by closing alone: a child that was being started may have a copy for a moment.
                fcntl.flock(fd, fcntl.LOCK_UN)
            with contextlib.suppress(OSError):
                os.close(fd)

    def _forget(self) -> None:
        """In a forked child: the lock is the parent's, and is not kept beyond its life."""
        for fd in self._taken_out():
            with contextlib.suppress(OSError):
                os.close(fd)

    def _taken_out(self) -> list[int]:
        """The descriptors that are still the lock's own, which has none from now on."""
        files, self._files = self._files, {}
        # In the opposite order: whoever gets the first finds the others free.
        return [fd for fd, file in reversed(files.items()) if file is not None and _file_of(fd) == file]


def _file_of(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def take(port: str, *, exclusive: bool = True) -> PortLock:
    """Lock the board behind ``port``; blocks for moments only, not for the lock.

    Not exclusive, or without rivals (see `names`), it is no lock. Raises `DeviceBusy`, whose ``holder`` is the
    process that has it.
    """
    if sys.platform == "win32" or not exclusive:
        return PortLock()
    path = local_path(port)
    if path is not None and not os.path.exists(path):  # noqa: PTH110  Path's raises for names that cannot be
        return PortLock()  # opening it will say so, and no lock file is left behind for it
    files = [file_name(name) for name in names(port)]
    if not files:
        return PortLock()
    held: list[int] = []
    reason: OSError | None = None
    try:
        # One order for everybody, so that of two rivals one wins.
        for path_of_lock in [folder / file for folder in folders() for file in files]:
            try:
                got = lock_file(path_of_lock)
            except OSError as exc:
                reason = exc
                continue
            if isinstance(got, Taken):
                whose = got.holder or "another process"
                raise DeviceBusy(f"{port} is in use by {whose}: end that, or wait", holder=got.holder)
            held.append(got)
    except OSError as exc:
        reason = exc
    except BaseException:  # it goes on when nothing is left locked
        PortLock(*held).release()
        raise
    if not held:
        _log.info("%s is used without a lock file (%s); its own exclusiveness has to do", port, reason)
    return PortLock(*held)


def _after_fork() -> None:
    for lock in list(_held):
        lock._forget()  # noqa: SLF001  this module's own
    _held.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
