"""What the board says when its file system refuses, as errors of ours that say what to do."""

from __future__ import annotations

import contextlib
import errno
import re
from typing import TYPE_CHECKING, Final

from belay_py.errors import (
    BelayError,
    ExecutionError,
    NotSupported,
    RemoteFileError,
    RemoteFileExists,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemoteNotADirectory,
    RemotePermissionError,
    TransferError,
)

if TYPE_CHECKING:
    from belay_py.session.errands import Errand, Kit

# MicroPython's numbers are Linux' (py/mperrno.h) where the port has no names; of ports with others the name is known.
_NUMBERS: Final = {
    1: "EPERM", 2: "ENOENT", 5: "EIO", 9: "EBADF", 12: "ENOMEM", 13: "EACCES", 16: "EBUSY", 17: "EEXIST",
    19: "ENODEV", 20: "ENOTDIR", 21: "EISDIR", 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 27: "EFBIG", 28: "ENOSPC",
    30: "EROFS", 36: "ENAMETOOLONG", 39: "ENOTEMPTY",
}  # fmt: skip
_NAME: Final = re.compile(r"\bE[A-Z0-9]{2,}\b")
_NUMBER: Final = re.compile(r"-?\d{1,9}")
_CLASSES: Final[dict[str, type[RemoteFileError]]] = {
    "ENOENT": RemoteFileNotFound,
    "ENODEV": RemoteFileNotFound,
    "EEXIST": RemoteFileExists,
    "EISDIR": RemoteIsADirectory,
    "ENOTDIR": RemoteNotADirectory,
    "EACCES": RemotePermissionError,
    "EPERM": RemotePermissionError,
}
_ADVICE: Final = {
    "ENOENT": "the board has no such file, or no folder to put it in; look with list(), or mkdir() the folder",
    "ENODEV": "no file system is mounted there on the board; mount one, or choose another path",
    "EEXIST": "something of that name is there already; remove it, or choose another name",
    "EISDIR": "this is a folder; name a file in it",
    "ENOTDIR": "part of the path is a file and no folder; remove it, or choose another path",
    "EACCES": "the board does not allow it; is it mounted on a computer as a drive?",
    "EPERM": "the board does not allow it; choose another path",
    "ENOSPC": "the board's file system is full; remove files there and try again",
    "EFBIG": "the file is larger than the board's file system holds; make it smaller",
    "EROFS": "the board's file system can only be read; is it mounted on a computer as a drive?",
    "EINVAL": "the board's file system does not take this name; choose another one",
    "ENAMETOOLONG": "the name is too long for the board's file system; choose a shorter one",
    "ENOTEMPTY": "the folder is not empty; remove what is in it first",
    "EMFILE": "a program on the board has too many files open; close some, or reset the board",
    "ENFILE": "a program on the board has too many files open; close some, or reset the board",
    "EIO": "the board cannot read or write its file system; it may be damaged",
}
_OF_FIRMWARE: Final = re.compile(r"module|type object '(?!_belay_)|no such attribute$")
"""How the message of an AttributeError begins that is no kit's and of nothing a kit knew. Small builds name neither."""
_FORGOTTEN: Final = ("NameError", "AttributeError", "KeyError")
"""What code of ours raises on a board that has lost the kit, or what that knew."""


async def explain(errand: Errand, error: ExecutionError, path: str, *kits: Kit) -> BelayError:
    """Return what the caller is to see where code of ``kits`` has failed, at ``path``.

    Boards say ENOENT also for a path that goes through a file: its folders are looked at. Kits that lack something are
    forgotten, so that doing it again helps.
    """
    problem = remote_error(error, path)
    if error.type in _FORGOTTEN and errand.standing.usable:
        with contextlib.suppress(BelayError):
            for kit in kits:
                await errand.forget(kit)
    if not isinstance(problem, RemoteFileNotFound) or path.count("/", 1) == 0 or not errand.standing.usable:
        return problem
    folders = [path[:index] for index, character in enumerate(path) if character == "/" and index]
    code = f"import os\nfor p in {folders!a}:\n if not os.stat(p)[0]&0x4000:raise OSError('ENOTDIR')"
    try:
        await errand.run(code.encode())
    except ExecutionError as found:
        return remote_error(found, path)
    except BelayError:  # there was no time left to look
        return problem
    return problem


def errno_name(error: ExecutionError) -> str:
    """Return the name of what an OSError of the board stands for, or an empty text."""
    if error.type != "OSError":
        return ""
    if named := _NAME.search(error.message):
        return named[0]
    number = _NUMBER.search(error.message)
    return _NUMBERS.get(abs(int(number[0])), "") if number else ""


def remote_error(error: ExecutionError, path: str) -> BelayError:
    """Return what the caller is to see of an exception on the board that concerns a path there.

    An exception that is of no file system's is returned as it is.
    """
    if error.type == "MemoryError":
        return TransferError(f"the board has no memory for moving {path!r}; reset it, or free what a program keeps")
    if error.type == "ImportError" or (
        error.type == "AttributeError" and _OF_FIRMWARE.match(error.message.lstrip("'"))
    ):
        # In code of ours that is a module or a function of one, which small firmware leaves out.
        return NotSupported(
            f"the board's firmware lacks what this needs ({error.message}); use firmware that has it, or execute() "
            "code of your own"
        )
    if error.type in _FORGOTTEN:
        return TransferError(
            "the board no longer knows what we had sent to it for files: it restarted, or a program or a noisy wire "
            "has damaged our code there; do it again"
        )
    if error.type != "OSError":
        return error
    name = errno_name(error)
    number = getattr(errno, name, None)
    if number is None:
        found = _NUMBER.search(error.message)
        number = abs(int(found[0])) if found else errno.EIO
    advice = _ADVICE.get(name, f"the board's file system refused ({error.message or 'it gave no reason'})")
    return _CLASSES.get(name, RemoteFileError)(number, advice, path)
