"""One owner per board among the processes of this machine: a lock file for each identity, held with flock.

The lock is taken before the port is opened, because opening alone may reset the board of whoever has it. The kernel
lets go of it when its process ends, however it ends, so no lock is ever stale. The file stays: who unlinks a file that
another one is just about to lock makes two owners.

Where lock files cannot be written, the port's own exclusiveness has to do (TIOCEXCL, pyserial's flock): a port that
works is worth more than a lock. On Windows ports are always exclusive, and nothing is needed here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import stat
import sys
import tempfile
from pathlib import Path

from belay_py.devices.holders import command, describe_process, flock_holder, shortened
from belay_py.devices.identity import identity, local_path
from belay_py.errors import DeviceBusy

_log = logging.getLogger(__name__)

FOLDER_VARIABLE = "BELAY_LOCK_DIR"
"""The environment variable that names the folder of the lock files. All who share boards must name the same."""

_FOLDER = "belay_py"
_FOLDER_MODE = 0o1777  # as /tmp: everybody may add files, only owners may remove them
_FILE_MODE = 0o666  # another user takes the lock after this one
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100
_ATTEMPTS = 10
_RECORD_SIZE = 1024

_held: set[PortLock] = set()
"""What a forked child must let go of."""


class PortLock:
    """A lock that is held until `release`. One without a descriptor locks nothing."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd
        if fd is not None:
            _held.add(self)

    @property
    def is_held(self) -> bool:
        """Whether there is a lock, and it was not released yet."""
        return self._fd is not None

    def release(self) -> None:
        """Let go. Any number of times, never raises."""
        fd, self._fd = self._fd, None
        _held.discard(self)
        if fd is None:
            return
        import fcntl  # noqa: PLC0415  Windows has none, and never gets here

        with contextlib.suppress(OSError):  # a descriptor closed behind our back locks nothing any more
            os.ftruncate(fd, 0)
        with contextlib.suppress(OSError):
            # Expressly, not by closing alone: a child that was being started may have a copy for a moment.
            fcntl.flock(fd, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(fd)

    def _forget(self) -> None:
        """In a forked child: the lock is the parent's, and is not kept beyond its life."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)


def take(port: str, *, exclusive: bool = True) -> PortLock:
    """Lock the board behind ``port``; blocks for moments only, not for the lock.

    Not exclusive, or without rivals (see `identity`), it is no lock. Raises `DeviceBusy`, whose ``holder`` is the
    process that has it.
    """
    if sys.platform == "win32" or not exclusive:
        return PortLock()
    path = local_path(port)
    if path is not None and not Path(path).exists():
        return PortLock()  # opening it will say so, and no lock file is left behind for it
    name = identity(port)
    if name is None:
        return PortLock()
    try:
        fd = _lock(_folder() / _file_name(name))
    except OSError as exc:
        _log.info("%s is used without a lock file (%s); its own exclusiveness has to do", port, exc)
        return PortLock()
    if isinstance(fd, _Taken):
        raise DeviceBusy(f"{port} is in use by {fd.holder or 'another process'}: end that, or wait", holder=fd.holder)
    return PortLock(fd)


class _Taken:
    """Somebody else has the lock."""

    def __init__(self, who: str | None) -> None:
        self.holder = who


def _lock(path: Path) -> int | _Taken:
    """Lock a file and write into it who has it. Raises OSError where there can be no lock."""
    import fcntl  # noqa: PLC0415  Windows has none, and never gets here

    for _ in range(_ATTEMPTS):
        fd = _open(path)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken = _Taken(_owner(fd))
                os.close(fd)
                return taken
            if _is_at(fd, path):
                _write_record(fd)
                return fd
        except BaseException:  # it goes on when nothing is left open
            os.close(fd)
            raise
        os.close(fd)  # a cleaner of old files was faster: there may be a new file, with another owner
    raise OSError(errno.EAGAIN, "the lock file is replaced all the time", str(path))


def _open(path: Path) -> int:
    """Open or make a lock file, without O_CREAT where it exists.

    In a folder that everybody may write to, Linux refuses O_CREAT on another user's file (the sysctl
    fs.protected_regular, Documentation/admin-guide/sysctl/fs.rst). flock works on a file opened for reading, too.
    """
    safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # neither a link nor a FIFO that somebody has put there
    for _ in range(_ATTEMPTS):
        try:
            try:
                fd = os.open(path, os.O_RDWR | safe)
            except PermissionError:
                fd = os.open(path, os.O_RDONLY | safe)
        except FileNotFoundError:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | safe, _FILE_MODE)
            except FileExistsError:
                continue
            with contextlib.suppress(OSError):
                os.fchmod(fd, _FILE_MODE)  # whatever the umask took away
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "the lock file is no regular file", str(path))
        return fd
    raise OSError(errno.EAGAIN, "the lock file comes and goes", str(path))


def _is_at(fd: int, path: Path) -> bool:
    ours = os.fstat(fd)
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def _write_record(fd: int) -> None:
    pid = os.getpid()
    try:
        program = command(pid)
    except OSError:
        program = shortened(" ".join(sys.argv))
    record = {"pid": pid, "program": program, "started": _started(pid)}
    # A full disk or a file opened for reading: the lock holds all the same, it only does not say whose it is.
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(record).encode()[:_RECORD_SIZE], 0)


def _owner(fd: int) -> str | None:
    """Who wrote the record, if that process lives; else whom the kernel names. None where nothing tells."""
    try:
        record = json.loads(os.pread(fd, _RECORD_SIZE, 0))
        pid, program, started = int(record["pid"]), str(record["program"]), record["started"]
    # Junk, or nothing yet: the owner has just locked, or could not write.
    except (OSError, ValueError, TypeError, KeyError):
        return flock_holder(fd)
    if started is not None and _started(pid) != started:  # of an owner that was killed; the present one writes soon
        return flock_holder(fd)
    return describe_process(pid, shortened(program))


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; tells it from a later one of the same number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])  # the 22nd of proc(5); the second, in brackets, may hold anything
    except (OSError, ValueError, IndexError):
        return None


def _folder() -> Path:
    """The folder of the lock files, made if need be. Raises OSError when there is none.

    Two users at one bench must meet in one folder, so it is shared: below /run/lock, which most systems let everybody
    write to and empty at each start; else below the folder for temporary files, which cleaners may visit. The user's
    own runtime folder would keep users apart.
    """
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    if named:
        return _made(Path(named))
    reasons: list[OSError] = []
    for parent in ("/run/lock", "/var/lock", tempfile.gettempdir()):
        try:
            return _made(Path(parent, _FOLDER))
        except OSError as exc:
            reasons.append(exc)
    raise reasons[-1]


def _made(folder: Path) -> Path:
    try:
        folder.mkdir()
    except FileExistsError:
        pass
    else:
        folder.chmod(_FOLDER_MODE)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "the folder is not writable", str(folder))
    return folder


def _file_name(name: str) -> str:
    """A file's name for an identity: readable, and different for different ones."""
    safe = _UNSAFE.sub("-", name).strip("-")[:_LONGEST_NAME]
    if safe == name:
        return f"{safe}.lock"
    return f"{safe}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}.lock"


def _after_fork() -> None:
    for lock in list(_held):
        lock._forget()  # noqa: SLF001  this module's own
    _held.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
