"""Emscripten's system calls for files, answered by the host, with MicroPython's error numbers.

``fd_*`` calls return a positive errno, ``__syscall_*`` a negative one; the C library hands either on as it is, and
MicroPython raises it. Its numbers are Linux's. Only EINTR is compared in C, with Emscripten's 27.
"""

from __future__ import annotations

import errno
import functools
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from belay_py.virtual.filesystem import BLOCK, Entry, Filesystem, OpenFile, normal

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.virtual.memory import Memory

EINTR = 27
_ERRNO = {
    getattr(errno, name): number
    for name, number in {
        "EPERM": 1, "ENOENT": 2, "EIO": 5, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13, "EBUSY": 16,
        "EEXIST": 17, "EXDEV": 18, "ENODEV": 19, "ENOTDIR": 20, "EISDIR": 21, "EINVAL": 22, "ENFILE": 23,
        "EMFILE": 24, "EFBIG": 27, "ENOSPC": 28, "ESPIPE": 29, "EROFS": 30, "ENAMETOOLONG": 36, "ENOTEMPTY": 39,
    }.items()
}  # fmt: skip
_O_ACCMODE, _O_CREAT, _O_EXCL, _O_TRUNC, _O_APPEND, _O_DIRECTORY = 3, 0o100, 0o200, 0o1000, 0o2000, 0o200000
_DIRENT = 280
_POLLIN, _POLLOUT, _POLLNVAL = 1, 4, 32
_FIRST_FD = 200

STDIN_BINARY, STDIN_TEXT = 0, 100
C_OUTPUT, C_WARNINGS, TEXT_OUTPUT, BINARY_OUTPUT = 1, 2, 101, 103


class Terminal(Protocol):
    """The board's console, as far as system calls need it."""

    def read_input(self, most: int) -> bytes | None:
        """Wait for input; None when a KeyboardInterrupt is to be raised."""

    def has_input(self) -> bool: ...
    def write_output(self, data: bytes, *, from_c: bool) -> None: ...


@dataclass(slots=True)
class _Descriptor:
    path: str
    file: OpenFile | None
    append: bool
    offset: int = 0
    names: list[str] = field(default_factory=list)


def micropython_errno(error: OSError) -> int:
    """Give MicroPython's number for a host's error; EIO for one it has none for."""
    return _ERRNO.get(error.errno or 0, 5)


def _guarded(sign: int) -> Callable[[Callable[..., int]], Callable[..., int]]:
    def decorate(call: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(call)
        def guarded(*arguments: Any) -> int:
            try:
                return call(*arguments)
            except OSError as error:
                return sign * micropython_errno(error)
            except (ValueError, UnicodeError):
                return sign * _ERRNO[errno.EINVAL]

        return guarded

    return decorate


_fd = _guarded(1)
_path = _guarded(-1)


class Syscalls:
    """One life's open files and working directory."""

    def __init__(self, files: Filesystem, terminal: Terminal, memory: Callable[[], Memory]) -> None:
        self._files = files
        self._terminal = terminal
        self._of_instance = memory
        self._cwd = "/"
        self._open: dict[int, _Descriptor] = {}
        self._next = _FIRST_FD

    @property
    def _memory(self) -> Memory:
        return self._of_instance()

    def imports(self) -> dict[str, Callable[..., int]]:
        """Give the functions by the names of the binary's imports."""
        return {
            "fd_close": self.close, "fd_sync": lambda fd: 0, "fd_seek": self.seek, "fd_read": self.read,
            "fd_write": self.write, "__syscall_openat": self.openat, "__syscall_getdents64": self.getdents,
            "__syscall_stat64": self.stat, "__syscall_lstat64": self.stat, "__syscall_newfstatat": self.stat_at,
            "__syscall_fstat64": self.fstat, "__syscall_statfs64": self.statfs, "__syscall_chdir": self.chdir,
            "__syscall_getcwd": self.getcwd, "__syscall_mkdirat": self.mkdirat, "__syscall_rmdir": self.rmdir,
            "__syscall_unlinkat": self.unlinkat, "__syscall_renameat": self.renameat,
            "__syscall_poll": self.poll, "__syscall_poll_nonblocking": self.poll,
        }  # fmt: skip

    def close_all(self) -> None:
        """Close what the program left open."""
        for descriptor in self._open.values():
            if descriptor.file is not None:
                descriptor.file.close()
        self._open.clear()

    def _absolute(self, path: int) -> str:
        return normal(self._memory.text(path), self._cwd)

    def _descriptor(self, fd: int) -> _Descriptor:
        try:
            return self._open[fd]
        except KeyError:
            raise OSError(errno.EBADF, "bad file number") from None

    def _file(self, fd: int) -> tuple[_Descriptor, OpenFile]:
        descriptor = self._descriptor(fd)
        if descriptor.file is None:
            raise OSError(errno.EISDIR, "is a directory")
        return descriptor, descriptor.file

    def _vectors(self, vectors: int, count: int) -> list[tuple[int, int]]:
        words = struct.unpack(f"<{2 * count}I", self._memory.read(vectors, 8 * count))
        return list(zip(words[::2], words[1::2], strict=True))

    @_path
    def openat(self, _folder: int, path: int, flags: int, _mode: int) -> int:
        name = self._absolute(path)
        file = None
        writing = bool(flags & _O_ACCMODE)
        exists = True
        try:
            entry = self._files.stat(name)
        except FileNotFoundError:
            exists = False
            entry = Entry(is_dir=False)
        if flags & _O_DIRECTORY and not entry.is_dir:
            raise OSError(errno.ENOTDIR if exists else errno.ENOENT, name)
        if exists and flags & _O_CREAT and flags & _O_EXCL:
            raise OSError(errno.EEXIST, name)
        if entry.is_dir and writing:
            raise OSError(errno.EISDIR, name)
        if not entry.is_dir:
            file = self._files.open(name, write=writing, create=bool(flags & _O_CREAT), truncate=bool(flags & _O_TRUNC))
        fd, self._next = self._next, self._next + 1
        self._open[fd] = _Descriptor(name, file, bool(flags & _O_APPEND))
        return fd

    @_fd
    def close(self, fd: int) -> int:
        if fd < _FIRST_FD:
            return 0
        descriptor = self._descriptor(fd)
        del self._open[fd]
        if descriptor.file is not None:
            descriptor.file.close()
        return 0

    @_fd
    def read(self, fd: int, vectors: int, count: int, result: int) -> int:
        # musl's readv never uses more than two; a short read is what a full one may always be.
        at, most = next(((at, most) for at, most in self._vectors(vectors, count) if most), (0, 0))
        if fd in (STDIN_BINARY, STDIN_TEXT):
            typed = self._terminal.read_input(most) if most else b""
            if typed is None:
                return EINTR
            data = typed.replace(b"\r", b"\n") if fd == STDIN_TEXT else typed
        else:
            descriptor, file = self._file(fd)
            data = file.read(descriptor.offset, most)
            descriptor.offset += len(data)
        self._memory.write(at, data)
        self._memory.word(result).value = len(data)
        return 0

    @_fd
    def write(self, fd: int, vectors: int, count: int, result: int) -> int:
        data = b"".join(self._memory.read(at, length) for at, length in self._vectors(vectors, count))
        written = len(data)
        if fd in (C_OUTPUT, BINARY_OUTPUT):
            self._terminal.write_output(data, from_c=fd == C_OUTPUT)
        elif fd in (C_WARNINGS, TEXT_OUTPUT):
            # Boards cook text: stdio_write calls mp_hal_stdout_tx_strn_cooked.
            self._terminal.write_output(data.replace(b"\n", b"\r\n"), from_c=False)
        else:
            descriptor, file = self._file(fd)
            if descriptor.append:
                descriptor.offset = file.size()
            written = file.write(descriptor.offset, data)
            descriptor.offset += written
        self._memory.word(result).value = written
        return 0

    @_fd
    def seek(self, fd: int, offset: int, whence: int, result: int) -> int:
        if fd < _FIRST_FD:
            raise OSError(errno.ESPIPE, "cannot seek the console")
        descriptor = self._descriptor(fd)
        size = descriptor.file.size() if descriptor.file is not None else 0
        base = (0, descriptor.offset, size)[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "negative offset")
        descriptor.offset = base + offset
        self._memory.write(result, struct.pack("<q", descriptor.offset))
        return 0

    @_path
    def getdents(self, fd: int, buffer: int, size: int) -> int:
        folder = self._descriptor(fd)
        if folder.offset == 0:
            folder.names = [".", "..", *self._files.list(folder.path)]
        done = 0
        while folder.offset < len(folder.names) and done + _DIRENT <= size:
            name = folder.names[folder.offset]
            folder.offset += 1
            try:
                is_dir = self._files.stat(normal(name, folder.path)).is_dir
            except OSError:  # a host folder's dangling link, or one that leads out of it
                is_dir = False
            raw = name.encode("utf-8", "surrogateescape")[:255] + b"\0"
            head = struct.pack("<qqHB", folder.offset, folder.offset, _DIRENT, 4 if is_dir else 8)
            self._memory.write(buffer + done, head + raw)
            done += _DIRENT
        return done

    def _put_stat(self, entry: Entry, path: str, buffer: int) -> int:
        mode = 0o40777 if entry.is_dir else 0o100666
        blocks = -(-entry.size // BLOCK)
        moment = entry.mtime, 0
        inode = hash(path) & 0x7FFFFFFF
        self._memory.write(
            buffer,
            struct.pack(
                "<6IqiiqI4xqI4xqI4xq",
                1, mode, 1, 0, 0, 0, entry.size, BLOCK, blocks, *moment, *moment, *moment, inode,
            ),
        )  # fmt: skip
        return 0

    @_path
    def stat(self, path: int, buffer: int) -> int:
        name = self._absolute(path)
        return self._put_stat(self._files.stat(name), name, buffer)

    @_path
    def stat_at(self, _folder: int, path: int, buffer: int, _flags: int) -> int:
        return self.stat(path, buffer)

    @_path
    def fstat(self, fd: int, buffer: int) -> int:
        descriptor = self._descriptor(fd)
        if descriptor.file is None:
            return self._put_stat(Entry(is_dir=True), descriptor.path, buffer)
        return self._put_stat(Entry(is_dir=False, size=descriptor.file.size()), descriptor.path, buffer)

    @_path
    def statfs(self, _path: int, _size: int, buffer: int) -> int:
        total, free = (bytes_ // BLOCK for bytes_ in self._files.space())
        packed = bytearray(88)
        struct.pack_into("<I", packed, 4, BLOCK)
        struct.pack_into("<5q", packed, 8, total, free, free, total, free)
        struct.pack_into("<II", packed, 56, 255, BLOCK)
        self._memory.write(buffer, bytes(packed))
        return 0

    @_path
    def chdir(self, path: int) -> int:
        name = self._absolute(path)
        if not self._files.stat(name).is_dir:
            raise OSError(errno.ENOTDIR, name)
        self._cwd = name
        return 0

    @_path
    def getcwd(self, buffer: int, size: int) -> int:
        raw = self._cwd.encode("utf-8", "surrogateescape") + b"\0"
        if len(raw) > size:
            raise OSError(errno.EINVAL, "buffer too small")
        self._memory.write(buffer, raw)
        return len(raw)

    @_path
    def mkdirat(self, _folder: int, path: int, _mode: int) -> int:
        self._files.mkdir(self._absolute(path))
        return 0

    @_path
    def rmdir(self, path: int) -> int:
        self._files.rmdir(self._absolute(path))
        return 0

    @_path
    def unlinkat(self, _folder: int, path: int, flags: int) -> int:
        name = self._absolute(path)
        if flags:
            self._files.rmdir(name)
        else:
            self._files.remove(name)
        return 0

    @_path
    def renameat(self, _old_folder: int, old: int, _new_folder: int, new: int) -> int:
        self._files.rename(self._absolute(old), self._absolute(new))
        return 0

    @_path
    def poll(self, descriptors: int, count: int, _timeout: int = 0) -> int:
        ready = 0
        for n in range(count):
            at = descriptors + 8 * n
            fd, wanted = struct.unpack("<ih", self._memory.read(at, 6))
            if fd in (STDIN_BINARY, STDIN_TEXT):
                found = wanted & _POLLIN if self._terminal.has_input() else 0
            elif fd in (C_OUTPUT, C_WARNINGS, TEXT_OUTPUT, BINARY_OUTPUT):
                found = wanted & _POLLOUT
            else:
                found = wanted & (_POLLIN | _POLLOUT) if fd in self._open else _POLLNVAL
            self._memory.write(at + 6, struct.pack("<h", found))
            ready += bool(found)
        return ready
