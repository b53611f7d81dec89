"""Who has a file or a device open, as far as /proc tells."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_COMMAND = 80


def holder(port: str) -> str | None:
    """Who has ``port`` open, as ``pid 12 (minicom -D …)``; None where /proc does not tell."""
    node = os.path.realpath(port)
    for pid in _processes():
        # Somebody else's process is unreadable, and any process may end while it is looked at.
        with contextlib.suppress(OSError):
            folder = Path("/proc", pid, "fd")
            if any(_target(entry) == node for entry in folder.iterdir()):
                return describe_process(int(pid), command(int(pid)))
    return None


def flock_holder(fd: int) -> str | None:
    """Who has the flock on an open file, in the same words; None where /proc/locks does not tell."""
    inode = str(os.fstat(fd).st_ino)
    # "1: FLOCK  ADVISORY  WRITE 708 00:15:13424 0 EOF", proc_locks(5). The device's number is not compared: on some
    # file systems it is another one than stat tells.
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
                return describe_process(int(words[4]), command(int(words[4])))
    return None


def _processes() -> Iterator[str]:
    try:
        yield from (entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    except OSError:
        return


def _target(entry: Path) -> str | None:
    try:
        return str(entry.readlink())
    except OSError:
        return None


def command(pid: int) -> str:
    """A process's command line, shortened. Raises OSError where /proc does not tell."""
    words = Path("/proc", str(pid), "cmdline").read_bytes().decode(errors="replace").split("\0")
    return shortened(" ".join(words))


def shortened(text: str, limit: int = _LONGEST_COMMAND) -> str:
    """One printable line of bounded length."""
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def describe_process(pid: int, program: str) -> str:
    """How messages name a process: ``pid 12 (minicom -D …)``."""
    own = ", this process" if pid == os.getpid() else ""
    return f"pid {pid} ({program}{own})"


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; tells it from a later one of the same number.

    None where /proc does not tell, or the process is dead and its parent has not asked for its status yet.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        # The 3rd and the 22nd of proc(5); the second, in brackets, may hold anything.
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
