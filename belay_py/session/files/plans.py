"""What a sync is going to do: decided from what the host has and what the board says of it, before anything is done."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from belay_py.errors import RemoteIsADirectory, RemoteNotADirectory, TransferError
from belay_py.session.files.entries import join
from belay_py.session.files.paths import part_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from belay_py.session.files.host_files import HostFile
    from belay_py.session.files.ignoring import Ignore


NOTHING, FOLDER, OTHER = "-", "d", "f"
"""What the board says of a path: it has nothing there, a folder, a file of another size or of any."""


@dataclass(frozen=True, slots=True)
class SyncFile:
    """A file that a sync sends."""

    source: Path
    """The host's file."""
    path: str
    """The board's."""
    size: int
    """The bytes of its content."""
    data: bytes | None = field(default=None, repr=False)
    """What it was compiled to."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a sync does, in this order. Paths are the board's; what is in a folder to be removed goes with it."""

    to_replace: tuple[str, ...]
    """What is in the way and has to go first: files where folders are to be, and folders where files are to be."""
    to_make: tuple[str, ...]
    """Folders."""
    to_send: tuple[SyncFile, ...]
    to_delete: tuple[str, ...]
    """What the host does not have; it goes when everything else is there."""
    unchanged: tuple[str, ...]
    """The files that are on the board as they are on the host."""

    @property
    def bytes(self) -> int:
        """The bytes of all files to be sent."""
        return sum(file.size for file in self.to_send)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.to_replace or self.to_make or self.to_send or self.to_delete)


@dataclass(frozen=True, slots=True)
class Question:
    """A path that the board is asked about; ``size`` is empty where it is no file whose hash would matter."""

    name: str
    size: str = ""


class Comparison:
    """A folder of the host beside one of the board."""

    def __init__(self, target: str, folders: Iterable[str], files: Iterable[HostFile]) -> None:
        self._target = target
        self._folders = ["", *folders]
        self._files = list(files)
        # A module's source is found before what it was compiled to.
        self._sources = [f"{file.name.removesuffix('.mpy')}.py" for file in self._files if file.data is not None]

    def questions(self) -> list[Question]:
        """What the board is to be asked."""
        return [
            *map(Question, self._folders),
            *(Question(file.name, str(file.size)) for file in self._files),
            *map(Question, self._sources),
        ]

    def plan(
        self, said: dict[str, str], others: Iterable[tuple[str, bool]], ignore: Ignore, *, delete: bool
    ) -> SyncPlan:
        """Return what to do. ``said`` has an answer for each question: see above, or the beginning of a file's hash.
        ``others`` is what else the board has, and whether it is a folder.

        Reads the host's files. Raises `TransferError`.
        """
        in_the_way = [name for name in self._folders if said[name] not in (NOTHING, FOLDER)]
        in_the_way += [file.name for file in self._files if said[file.name] == FOLDER]
        stale = [name for name in self._sources if said[name] not in (NOTHING, FOLDER)]
        if not delete or "" in in_the_way:
            self._refuse(said, in_the_way, stale)
        differs = (NOTHING, FOLDER, OTHER)
        send = [file for file in self._files if said[file.name] in differs or said[file.name] != file.digest()]
        sent = {file.name for file in send}
        gone = _outermost([*in_the_way, *stale, *(_removable(others, ignore, _parts(sent)) if delete else ())])
        return SyncPlan(
            to_replace=self._paths(name for name in gone if name in in_the_way),
            to_make=self._paths(name for name in self._folders if said[name] != FOLDER),
            to_send=tuple(SyncFile(file.source, self._path(file.name), file.size, file.data) for file in send),
            to_delete=self._paths(name for name in gone if name not in in_the_way),
            unchanged=self._paths(file.name for file in self._files if file.name not in sent),
        )

    def _refuse(self, said: dict[str, str], in_the_way: list[str], stale: list[str]) -> None:
        for name in in_the_way:
            path = self._path(name)
            if said[name] == FOLDER:
                reason = "the board has a folder where a file is to go; remove it, or sync with delete=True"
                raise RemoteIsADirectory(errno.EISDIR, reason, path)
            reason = "the board has a file where a folder is to go; remove it, or sync with delete=True"
            raise RemoteNotADirectory(errno.ENOTDIR, reason, path)
        if stale:
            path = self._path(stale[0])
            raise TransferError(
                f"the board has {path}, which it would import before the {path.removesuffix('.py')}.mpy that is to go "
                "beside it; remove it, or sync with delete=True"
            )

    def _path(self, name: str) -> str:
        return join(self._target, name) if name else self._target

    def _paths(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(self._path, names))


def _parts(names: Iterable[str]) -> set[str]:
    """The names of what may be left of earlier transfers that were cut: the next one goes on from there."""
    return {f"{folder}{slash}{part_name(name)}" for folder, slash, name in (name.rpartition("/") for name in names)}


def _removable(others: Iterable[tuple[str, bool]], ignore: Ignore, needed: Collection[str]) -> list[str]:
    """What is to go of what else is on the board: not what is left alone, nor a folder that has such in it."""
    found = list(others)
    kept: set[str] = set()
    for name, is_dir in found:
        if name in needed or ignore.fits(name, is_dir=is_dir):
            kept.add(name)
            while name := name.rpartition("/")[0]:
                kept.add(name)
    return [name for name, _ in found if name not in kept]


def _outermost(names: Iterable[str]) -> list[str]:
    """The names without those that lie in another one."""
    chosen: list[str] = []
    for name in sorted(set(names), key=lambda name: name.split("/")):
        if not (chosen and name.startswith(f"{chosen[-1]}/")):
            chosen.append(name)
    return chosen
