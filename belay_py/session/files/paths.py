"""Paths on the board, and the names that files have there while they are on their way."""

from __future__ import annotations

import errno
import hashlib
import posixpath
from dataclasses import dataclass

from belay_py.errors import RemoteFileError, RemoteIsADirectory, SettingsError
from belay_py.text import shown


def check_remote(path: str, what: str = "target") -> str:
    """Return a path of the board's as it is. Raises `SettingsError` for no path, `RemoteFileError` for no such name."""
    if not isinstance(path, str) or not path:
        raise SettingsError(f"{what} is {shown(path)}; it must be the path of a file on the board, as text")
    if not can_be(path):
        reason = "a path holds no NUL and no half of a surrogate pair; choose another name"
        raise RemoteFileError(errno.EINVAL, reason, path)
    return path


def can_be(path: str) -> bool:
    """Whether text can be a name on a board."""
    return "\0" not in path and not any("\ud800" <= character <= "\udfff" for character in path)


def is_top(path: str) -> bool:
    """Whether a path may be that of all there is: ``/``, the current folder, or one that ``..`` leads up to."""
    return not posixpath.normpath(path).replace("..", "").strip("/.")


def part_name(name: str) -> str:
    """Return what the file ``name`` is called until it is whole: eight characters, which every file system takes.

    It is the same each time, so that a transfer which was cut is found again, and leaves one file behind at most.
    """
    return "~" + hashlib.sha256(name.encode()).hexdigest()[:7]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file is to go. The board knows whether ``path`` is a folder there; then ``inside`` is its name in it."""

    path: str
    inside: str

    @classmethod
    def of(cls, path: str, name: str) -> Target:
        """Make one of what the caller wrote, and the name of the source, which may be empty."""
        check_remote(path)
        if not path.endswith("/"):
            # A name of this computer's that is no text matters only where the board finds a folder.
            return cls(path, name if can_be(name) else "")
        if not name:
            reason = "this is a folder's name, and the source has none to go by; write the file's whole path"
            raise RemoteIsADirectory(errno.EISDIR, reason, path)
        return cls(check_remote(path + name), "")

    @property
    def folder(self) -> str:
        """The folder of ``path`` with its slash; empty for the board's current one."""
        return self.path[: self.path.rfind("/") + 1]

    @property
    def part(self) -> str:
        """The part's name beside ``path``."""
        return part_name(self.path[self.path.rfind("/") + 1 :])

    def found(self, *, is_folder: bool) -> str:
        """Return the file's path, now that the board has said what ``path`` is."""
        return f"{self.path}/{self.inside}" if is_folder else self.path

    def to_code(self) -> str:
        """Return the arguments of the board's function ``b``."""
        inner = part_name(self.inside) if self.inside else ""
        return ",".join(map(ascii, (self.path, self.folder, self.part, self.inside, inner)))
