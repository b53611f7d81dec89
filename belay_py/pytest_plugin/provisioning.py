"""Files for a test: put on the board, and at the end what was there before."""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from belay_py.errors import RemoteFileNotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from belay_py.sync import DeviceSession


class BoardFiles:
    """What a test needs on its board. Paths on the board are absolute. Raises what `DeviceSession.files` raises."""

    def __init__(self, board: DeviceSession) -> None:
        self._files = board.files
        self._before: dict[str, bytes | None] = {}
        self._made: list[str] = []
        self._kept: dict[str, set[str]] = {}

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file, and make the folders that it needs."""
        path = self._note(path)
        self._files.write_bytes(path, content.encode() if isinstance(content, str) else content)

    def put(self, source: str | PathLike[str], path: str = "/") -> None:
        """Copy a file of this computer to ``path``, or what is in a folder into the folder ``path``."""
        here = Path(source)
        if here.is_dir():
            for file in sorted(found for found in here.rglob("*") if found.is_file()):
                self.write(str(PurePosixPath(path, file.relative_to(here).as_posix())), file.read_bytes())
        else:
            self.write(path, here.read_bytes())

    def remove(self, path: str) -> None:
        """Remove a file; it is there again after the test."""
        path = self._note(path)
        self._files.remove(path)

    def keep(self, path: str = "/") -> None:
        """Have all files below a folder as they are now at the end, whoever changes them.

        Each is read, over the wire: what this costs is what the folder holds.
        """
        folder = _absolute(path)
        files = {entry.path for entry in self._files.walk(folder) if not entry.is_dir}
        self._kept[folder] = {entry.path for entry in self._files.walk(folder)}
        for file in files:
            self._before.setdefault(_absolute(file), self._files.read_bytes(file))

    def restore(self, clean: Callable[[], None]) -> None:
        """Bring back what was there, on a board that ``clean`` has freed from what ran, and was open, on it."""
        if not self._before and not self._made and not self._kept:
            return
        clean()
        for folder, entries in self._kept.items():
            new = [entry for entry in self._files.walk(folder) if entry.path not in entries]
            for entry in sorted(new, key=lambda entry: entry.path, reverse=True):
                self._files.remove(entry.path, recursive=entry.is_dir)
        for path, content in self._before.items():
            if content is None:
                with contextlib.suppress(RemoteFileNotFound):  # the test has removed it itself
                    self._files.remove(path, recursive=True)
            elif self._read(path) != content:
                self._make_folders(path)
                self._files.write_bytes(path, content)
        for made in reversed(self._made):
            with contextlib.suppress(RemoteFileNotFound):  # as above
                self._files.remove(made, recursive=True)

    def _note(self, path: str) -> str:
        """Remember what is there, before it is changed for the first time."""
        path = _absolute(path)
        if path not in self._before:
            content = self._read(path)
            self._made += self._make_folders(path)
            self._before[path] = content
        return path

    def _read(self, path: str) -> bytes | None:
        try:
            return self._files.read_bytes(path)
        except RemoteFileNotFound:
            return None

    def _make_folders(self, path: str) -> list[str]:
        missing: list[str] = []
        for parent in map(str, PurePosixPath(path).parents):
            if self._files.exists(parent):
                break
            missing.insert(0, parent)
        for folder in missing:
            self._files.mkdir(folder)
        return missing


def _absolute(path: str) -> str:
    return str(PurePosixPath("/", path))
