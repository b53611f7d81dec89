"""Looking at the board's folders and changing them. Each call is one round trip, after the first one of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.errors import RemoteIsADirectory, SettingsError
from belay_py.session.files.asking import Asking, board_path
from belay_py.session.files.board_code import COMPARE, LOOK
from belay_py.session.files.entries import Entry, Space, join
from belay_py.session.files.paths import is_top
from belay_py.text import shown

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncGenerator

PORTION = 200
"""Entries after which a walk begins no further folder in the same execution: 5 KB or so, half a second at 115200."""


class Tree(Asking):
    """The board's folders.

    ``timeout`` is seconds for the whole call; with None each execution
    has ``operation_timeout``. All raise `RemoteFileError` or one of its subclasses where the board's file system
    refuses, `NotSupported` where its firmware lacks what is needed, `SettingsError` for what is no path, and what
    `DeviceSession.execute` raises.
    """

    async def list(self, path: str = "", *, timeout: float | None = None) -> builtins.list[Entry]:
        """Return what a folder has in it, sorted by name; ``""`` is the board's current folder."""
        folder = board_path(path, current=True)
        found = await self._ask(LOOK, "ls", folder, timeout=timeout, idempotent=True)
        return sorted((_entry(folder, about) for about in found), key=lambda entry: entry.name)

    async def walk(self, path: str = "", *, timeout: float | None = None) -> AsyncGenerator[Entry]:
        """Yield all that is in a folder and below, each folder before what is in it.

        Folders are asked for as the walk comes to them, many small ones at once, and ``timeout`` is for each time: what
        changes meanwhile may be seen or not.
        """
        waiting = [board_path(path, current=True)]
        while waiting:
            *found, (waiting, _) = await self._ask(LOOK, "walk", waiting, PORTION, timeout=timeout, idempotent=True)
            portion: builtins.list[Entry] = []
            folder = ""
            for about in found:
                if len(about) == 1:
                    [folder] = about
                else:
                    portion.append(_entry(folder, about))
            for entry in sorted(portion, key=lambda entry: entry.path):
                yield entry

    async def stat(self, path: str, *, timeout: float | None = None) -> Entry:
        """Return what a path is. Raises `RemoteFileNotFound` where there is nothing."""
        name = board_path(path)
        [(is_dir, size)] = await self._ask(LOOK, "stat", name, timeout=timeout, idempotent=True)
        return _entry_of(name, is_dir, size)

    async def exists(self, path: str, *, timeout: float | None = None) -> bool:
        """Whether there is a file or a folder."""
        return await self._is(path, timeout) is not None

    async def is_dir(self, path: str, *, timeout: float | None = None) -> bool:
        """Whether there is a folder."""
        return await self._is(path, timeout) is True

    async def is_file(self, path: str, *, timeout: float | None = None) -> bool:
        """Whether there is a file."""
        return await self._is(path, timeout) is False

    async def mkdir(
        self, path: str, *, parents: bool = False, exist_ok: bool = False, timeout: float | None = None
    ) -> None:
        """Make a folder, with ``parents`` those above it too.

        Raises `RemoteFileExists` where something is there already, unless that is a folder and ``exist_ok``.
        """
        await self._ask(LOOK, "md", board_path(path), parents, exist_ok, timeout=timeout, idempotent=exist_ok)

    async def rename(self, path: str, to: str, *, timeout: float | None = None) -> None:
        """Rename or move a file or a folder. A file that is at ``to`` is replaced, on nearly all boards in one step."""
        await self._ask(LOOK, "mv", board_path(path), board_path(to), timeout=timeout)

    async def remove(
        self,
        path: str,
        *,
        recursive: bool = False,
        missing_ok: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Remove a file, or with ``recursive`` a folder and all that is in it.

        Raises `RemoteFileNotFound`, unless ``missing_ok``, and `RemoteIsADirectory` for a folder without ``recursive``.
        What was removed before an error stays so.
        """
        name = board_path(path)
        if recursive and is_top(name):
            raise SettingsError(f"{name!r} is the whole file system; name what is to be removed in it")
        try:
            await self._ask(LOOK, "rm", name, recursive, missing_ok, timeout=timeout, idempotent=missing_ok)
        except RemoteIsADirectory as error:
            reason = "this is a folder, which is removed with all in it only when recursive is asked for"
            raise RemoteIsADirectory(error.errno, reason, error.filename) from error

    async def touch(self, path: str, *, timeout: float | None = None) -> None:
        """Make an empty file, unless there is a file or a folder of that name, which stays as it is."""
        await self._ask(LOOK, "touch", board_path(path), timeout=timeout, idempotent=True)

    async def free_space(self, path: str = "/", *, timeout: float | None = None) -> Space:
        """Return how much room the file system has that a path is on."""
        [(total, free)] = await self._ask(LOOK, "df", board_path(path), timeout=timeout, idempotent=True)
        return Space(total, total - free, free)

    async def hash(self, path: str, algorithm: str = "sha256", *, timeout: float | None = None) -> str:
        """Return the hash of a file in hexadecimal, as the board computes it.

        Boards have ``sha256``, and some ``sha1`` and ``md5``; others raise `NotSupported`. A slow board may need a
        ``timeout`` for a large file: 20 KB a second is little.
        """
        if not isinstance(algorithm, str) or not algorithm.isidentifier():
            raise SettingsError(f"the algorithm is {shown(algorithm)}; it must be a name, such as 'sha256'")
        [(digest,)] = await self._ask(COMPARE, "hash", board_path(path), algorithm, timeout=timeout, idempotent=True)
        return str(digest)

    async def _is(self, path: str, timeout: float | None) -> bool | None:
        """Whether it is a folder; None where there is nothing."""
        found = await self._ask(LOOK, "has", board_path(path), timeout=timeout, idempotent=True)
        return bool(found[0][0]) if found else None


def _entry(folder: str, about: tuple[str, bool, int]) -> Entry:
    name, is_dir, size = about
    return Entry(name, join(folder, name), is_dir, size)


def _entry_of(path: str, is_dir: bool, size: int) -> Entry:
    return Entry(path.rstrip("/").rpartition("/")[2], path, is_dir, size)
