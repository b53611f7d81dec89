"""The files of `belay_py.devices.locks`: where they are, how one is locked, and what it says of its owner."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
import sys
from pathlib import Path

from belay_py.devices.holders import command, describe_process, flock_holder, shortened
from belay_py.devices.holders import started as started_at

FOLDER_VARIABLE = "BELAY_LOCK_DIR"
"""The environment variable that names the folder of the lock files. All who share boards must name the same."""

# Fixed: one that follows TMPDIR would depend on who asks.
_PARENTS = ("/run/lock", "/var/lock", "/tmp")  # noqa: S108  shared on purpose, see `_open`
_FOLDER = "belay_py"
_FOLDER_MODE = 0o1777  # as /tmp: everybody may add files, only owners may remove them
_FILE_MODE = 0o666  # another user takes the lock after this one
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100
_ATTEMPTS = 10
_RECORD_SIZE = 1024


class Taken:
    """Somebody else has the lock."""

    def __init__(self, who: str | None) -> None:
        self.holder = who


def lock_file(path: Path) -> int | Taken:
    """Lock a file and write into it who has it. Raises OSError where there can be no lock."""
    import fcntl  # noqa: PLC0415  Windows has none, and never gets here

    for _ in range(_ATTEMPTS):
        fd = _open(path)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                taken = Taken(_owner(fd))
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
    record = {"pid": pid, "program": program, "started": started_at(pid)}
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
    if started is not None and started_at(pid) != started:  # of an owner that was killed; the present one writes soon
        return flock_holder(fd)
    return describe_process(pid, shortened(program))


def folders() -> list[Path]:
    """The folders of the lock files, made if need be, in the order in which to lock. Raises OSError for none.

    Two users at one bench must meet, so folders are shared: below /run/lock, which most systems let everybody write to
    and empty at each start; else below /tmp, which cleaners may visit. The user's own runtime folder would keep users
    apart. Whatever can be used today may have been missing when another owner began, or be closed to one: so all count
    that are there, and the first that can be written is made.
    """
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    if named:
        _make(Path(named))
        return [Path(named)]
    found: dict[tuple[int, int], Path] = {}  # /var/lock is a link to /run/lock nearly everywhere
    reasons: list[OSError] = []
    writable = False
    for parent in _PARENTS:
        folder = Path(parent, _FOLDER)
        try:
            if not writable:
                _make(folder)
            _mend(folder)
            status = folder.stat()
        except OSError as exc:
            reasons.append(exc)
            continue
        found.setdefault((status.st_dev, status.st_ino), folder)
        writable = writable or os.access(folder, os.W_OK | os.X_OK)
    if not found:
        raise reasons[-1]
    return list(found.values())


def _make(folder: Path) -> None:
    """Make a folder, with its mode from the first moment: one who is killed in between must not lock others out."""
    if folder.exists():
        return
    aside = folder.with_name(f".{folder.name}-{secrets.token_hex(8)}")
    aside.mkdir()
    try:
        aside.chmod(_FOLDER_MODE)
        aside.rename(folder)
    except OSError:
        with contextlib.suppress(OSError):
            aside.rmdir()
        if not folder.exists():  # else somebody was faster
            raise


def _mend(folder: Path) -> None:
    """Open our own folder for others again. One that the user has named keeps the mode that the user gave it."""
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != _FOLDER_MODE:
        folder.chmod(_FOLDER_MODE)


def file_name(name: str) -> str:
    """A file's name for an identity: readable, and different for different ones."""
    safe = _UNSAFE.sub("-", name).strip("-")[:_LONGEST_NAME]
    if safe == name:
        return f"{safe}.lock"
    return f"{safe}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}.lock"
