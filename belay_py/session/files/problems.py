"""Temporary: transfers has the right one."""

from __future__ import annotations

import errno

from belay_py import errors

_KINDS = {
    "ENOENT": errors.RemoteFileNotFound,
    "EEXIST": errors.RemoteFileExists,
    "EISDIR": errors.RemoteIsADirectory,
    "ENOTDIR": errors.RemoteNotADirectory,
    "EACCES": errors.RemotePermissionError,
    "EPERM": errors.RemotePermissionError,
}


def remote_error(error: errors.ExecutionError, path: str) -> errors.BelayError:
    """Return the board's refusal as ours."""
    number = getattr(error.__cause__, "errno", None) or int(error.message.split()[-1])
    name = error.message.split()[-1]
    name = name if name.startswith("E") else errno.errorcode.get(number, "EIO")
    return _KINDS.get(name, errors.RemoteFileError)(getattr(errno, name, 5), name, path)
