"""Where the board's files are: in memory, or in a folder of the host. Paths are absolute and normal (`normal`)."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096
_LONGEST_NAME = 255  # bytes: what the C library of the board has room for when it lists a folder


@dataclass(frozen=True, slots=True)
class Entry:
    """What ``stat`` tells; `mtime` in seconds since 1970."""

    is_dir: bool
    size: int = 0
    mtime: int = 0


class OpenFile(Protocol):
    """A file's bytes, by offset."""

    def read(self, offset: int, most: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> int: ...
    def size(self) -> int: ...
    def close(self) -> None: ...


class Filesystem(Protocol):
    """A tree of files. Methods raise OSError with this host's errno."""

    def stat(self, path: str) -> Entry: ...
    def list(self, path: str) -> list[str]: ...
    def open(self, path: str, *, write: bool, create: bool, truncate: bool) -> OpenFile: ...
    def mkdir(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def rename(self, old: str, new: str) -> None: ...
    def space(self) -> tuple[int, int]:
        """Tell the size and what is free, in bytes."""
        ...


def normal(path: str, cwd: str = "/") -> str:
    """Make a path absolute, without ``.``, ``..`` and doubled slashes; ``..`` stops at the root."""
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{cwd}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


class _MemoryFile:
    def __init__(self, owner: MemoryFiles) -> None:
        self._owner = owner
        self.data = bytearray()
        self.mtime = int(time.time())

    def read(self, offset: int, most: int) -> bytes:
        return bytes(self.data[offset : offset + most])

    def write(self, offset: int, data: bytes) -> int:
        end = offset + len(data)
        self._owner.claim(max(0, end - len(self.data)))
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset:end] = data
        self.mtime = int(time.time())
        return len(data)

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


class MemoryFiles:
    """Files in memory, up to `capacity` bytes. They last as long as the object: over resets and unplugging."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._tree: dict[str, _MemoryFile | None] = {"/": None}  # None stands for a directory

    def claim(self, more: int) -> None:
        """Make sure that `more` bytes fit."""
        if more and self._used() + more > self._capacity:
            raise _error(errno.ENOSPC, "/")

    def _used(self) -> int:
        return sum(len(file.data) for file in self._tree.values() if file is not None)

    def _node(self, path: str) -> _MemoryFile | None:
        try:
            return self._tree[path]
        except KeyError:
            raise _error(errno.ENOENT, path) from None

    def _need_parent(self, path: str) -> None:
        if len(path.rpartition("/")[2].encode(errors="surrogateescape")) > _LONGEST_NAME:
            raise _error(errno.ENAMETOOLONG, path)
        if self._node(path.rpartition("/")[0] or "/") is not None:
            raise _error(errno.ENOTDIR, path)

    def _children(self, path: str) -> Iterator[str]:
        prefix = path.rstrip("/") + "/"
        for other in self._tree:
            if other != "/" and other.startswith(prefix) and "/" not in other[len(prefix) :]:
                yield other[len(prefix) :]

    def stat(self, path: str) -> Entry:
        file = self._node(path)
        return Entry(is_dir=True) if file is None else Entry(is_dir=False, size=len(file.data), mtime=file.mtime)

    def list(self, path: str) -> list[str]:
        if self._node(path) is not None:
            raise _error(errno.ENOTDIR, path)
        return list(self._children(path))

    def open(self, path: str, *, write: bool, create: bool, truncate: bool) -> OpenFile:
        if path not in self._tree and create:
            self._need_parent(path)
            self._tree[path] = _MemoryFile(self)
        file = self._node(path)
        if file is None:
            raise _error(errno.EISDIR, path)
        if write and truncate:
            file.data.clear()
        return file

    def mkdir(self, path: str) -> None:
        if path in self._tree:
            raise _error(errno.EEXIST, path)
        self._need_parent(path)
        self._tree[path] = None

    def rmdir(self, path: str) -> None:
        if self._node(path) is not None:
            raise _error(errno.ENOTDIR, path)
        if path == "/":
            raise _error(errno.EBUSY, path)
        if any(self._children(path)):
            raise _error(errno.ENOTEMPTY, path)
        del self._tree[path]

    def remove(self, path: str) -> None:
        if self._node(path) is None:
            raise _error(errno.EISDIR, path)
        del self._tree[path]

    def rename(self, old: str, new: str) -> None:
        moved = self._node(old)
        self._need_parent(new)
        if (new + "/").startswith(old + "/") and new != old:
            raise _error(errno.EINVAL, new)
        if new in self._tree and new != old:
            target = self._tree[new]
            if target is None and (moved is not None or any(self._children(new))):
                raise _error(errno.ENOTEMPTY if moved is None else errno.EISDIR, new)
            if target is not None and moved is None:
                raise _error(errno.ENOTDIR, new)
        for path in [path for path in self._tree if path == old or path.startswith(old + "/")]:
            self._tree[new + path[len(old) :]] = self._tree.pop(path)

    def space(self) -> tuple[int, int]:
        return self._capacity, max(0, self._capacity - self._used())


class _FolderFile:
    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "r+b" if _writable(fd) else "rb", buffering=0)

    def read(self, offset: int, most: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(most) or b""

    def write(self, offset: int, data: bytes) -> int:
        self._file.seek(offset)
        return self._file.write(data) or 0

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()


def _writable(fd: int) -> bool:
    try:
        os.write(fd, b"")
    except OSError:
        return False
    return True


class FolderFiles:
    """Files in a folder of the host. Neither ``..`` nor a symbolic link leads out of it."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve(strict=True)

    def _host(self, path: str, *, follow: bool = True) -> Path:
        plain = self._root.joinpath(*path.split("/")[1:]) if path != "/" else self._root
        if "\0" in path or (os.sep != "/" and (os.sep in path or ":" in path)):
            raise _error(errno.EINVAL, path)
        # A link itself may be removed or renamed; only what is in the way is followed.
        real = plain.resolve() if follow else plain.parent.resolve() / plain.name
        if not real.is_relative_to(self._root):
            raise _error(errno.EACCES, path)
        return real

    def stat(self, path: str) -> Entry:
        found = self._host(path).stat()
        if stat.S_ISDIR(found.st_mode):
            return Entry(is_dir=True, mtime=int(found.st_mtime))
        return Entry(is_dir=False, size=found.st_size, mtime=int(found.st_mtime))

    def list(self, path: str) -> list[str]:
        return sorted(entry.name for entry in self._host(path).iterdir())

    def open(self, path: str, *, write: bool, create: bool, truncate: bool) -> OpenFile:
        flags = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not hold the board
        flags |= os.O_RDWR if write else os.O_RDONLY
        flags |= (os.O_CREAT if create else 0) | (os.O_TRUNC if truncate else 0)
        return _FolderFile(os.open(self._host(path), flags, 0o644))

    def mkdir(self, path: str) -> None:
        self._host(path).mkdir()

    def rmdir(self, path: str) -> None:
        if path == "/":
            raise _error(errno.EBUSY, path)
        self._host(path, follow=False).rmdir()

    def remove(self, path: str) -> None:
        host = self._host(path, follow=False)
        if host.is_dir() and not host.is_symlink():
            raise _error(errno.EISDIR, path)
        host.unlink()

    def rename(self, old: str, new: str) -> None:
        self._host(old, follow=False).replace(self._host(new, follow=False))

    def space(self) -> tuple[int, int]:
        import shutil  # noqa: PLC0415  only statvfs needs it

        usage = shutil.disk_usage(self._root)
        return usage.total, usage.free
