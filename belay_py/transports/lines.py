"""DTR and RTS of a descriptor, both in one step.

Most ESP boards wire the two lines crosswise: DTR off with RTS on pulls reset. Setting them one after the other passes
through that pair and resets the board (esptool's UnixTightReset exists for the same reason), so both are set by one
TIOCMSET. Pseudo-terminals have no lines: the kernel answers ENOTTY, and pyserial ignores EINVAL too.
"""

from __future__ import annotations

import errno
import fcntl
import struct
import termios

_NO_LINES = (errno.ENOTTY, errno.EINVAL)


def has_lines(fd: int) -> bool:
    """Whether the driver knows modem lines at all; not so on a pseudo-terminal, and not on a port that has gone."""
    try:
        _read(fd)
    except OSError:
        return False
    return True


def set_lines(fd: int, *, dtr: bool | None, rts: bool | None) -> bool:
    """Set what is not None, at once. False when the port has no such lines; raises OSError when it is gone."""
    try:
        before = _read(fd)
        after = _with(_with(before, termios.TIOCM_DTR, dtr), termios.TIOCM_RTS, rts)
        if after != before:
            fcntl.ioctl(fd, termios.TIOCMSET, struct.pack("I", after))
    except OSError as exc:
        if exc.errno in _NO_LINES:
            return False
        raise
    return True


def _read(fd: int) -> int:
    return int(struct.unpack("I", fcntl.ioctl(fd, termios.TIOCMGET, b"\0\0\0\0"))[0])


def _with(lines: int, line: int, on: bool | None) -> int:
    if on is None:
        return lines
    return lines | line if on else lines & ~line
