"""``/rom``: what boards have and this port lacks, as files that only the board's import system looks at.

It is not listed in ``/``. ``/rom/hw`` leads to `hardware.Hardware`; the rest is the Python in the package's ``rom``
folder.
"""

from __future__ import annotations

import errno
import os
from importlib import resources
from typing import TYPE_CHECKING

from belay_py.virtual.filesystem import Entry, Filesystem, OpenFile

if TYPE_CHECKING:
    from belay_py.virtual.hardware import Hardware

ROOT = "/rom"
_HARDWARE = "/rom/hw/"
_SUFFIX = ".txt"


def _denied(path: str) -> OSError:
    return OSError(errno.EROFS, os.strerror(errno.EROFS), path)


def _sources() -> dict[str, bytes]:
    """Read the package data. The files end in .txt because they are not Python that this interpreter could run."""
    found = {}
    for file in resources.files(__package__).joinpath("rom").iterdir():
        if file.name.endswith(_SUFFIX):
            name = file.name.removesuffix(_SUFFIX).replace("+", "/")
            found[f"{ROOT}/{name}"] = file.read_bytes()
    return found


class _Source:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, most: int) -> bytes:
        return self._data[offset : offset + most]

    def write(self, offset: int, data: bytes) -> int:
        raise _denied("")

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None:
        pass


class _Register:
    def __init__(self, hardware: Hardware, name: str) -> None:
        self._hardware = hardware
        self._name = name

    def read(self, offset: int, most: int) -> bytes:
        return b"" if offset else self._hardware.read(self._name).encode()[:most]

    def write(self, offset: int, data: bytes) -> int:
        try:
            self._hardware.write(self._name, data.decode())
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error)) from None
        return len(data)

    def size(self) -> int:
        return 0

    def close(self) -> None:
        pass


class WithRom:
    """The board's `files`, with ``/rom`` on top."""

    def __init__(self, files: Filesystem, hardware: Hardware) -> None:
        self._files = files
        self._hardware = hardware
        self._sources = _sources()
        self._folders = {ROOT} | {path.rpartition("/")[0] for path in self._sources}

    @staticmethod
    def _is_rom(path: str) -> bool:
        return path == ROOT or path.startswith(ROOT + "/")

    def stat(self, path: str) -> Entry:
        if not self._is_rom(path):
            return self._files.stat(path)
        if path in self._folders:
            return Entry(is_dir=True)
        if path in self._sources:
            return Entry(is_dir=False, size=len(self._sources[path]))
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def list(self, path: str) -> list[str]:
        if not self._is_rom(path):
            return self._files.list(path)
        return sorted(p.rpartition("/")[2] for p in self._sources if p.rpartition("/")[0] == path)

    def open(self, path: str, *, write: bool, create: bool, truncate: bool) -> OpenFile:
        if not self._is_rom(path):
            return self._files.open(path, write=write, create=create, truncate=truncate)
        if path.startswith(_HARDWARE):
            return _Register(self._hardware, path.removeprefix(_HARDWARE))
        if write:
            raise _denied(path)
        if path in self._sources:
            return _Source(self._sources[path])
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def _writable(self, path: str) -> Filesystem:
        if self._is_rom(path):
            raise _denied(path)
        return self._files

    def mkdir(self, path: str) -> None:
        self._writable(path).mkdir(path)

    def rmdir(self, path: str) -> None:
        self._writable(path).rmdir(path)

    def remove(self, path: str) -> None:
        self._writable(path).remove(path)

    def rename(self, old: str, new: str) -> None:
        self._writable(new)
        self._writable(old).rename(old, new)

    def space(self) -> tuple[int, int]:
        return self._files.space()
