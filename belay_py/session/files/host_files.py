"""The host's side of a sync: what is in a folder of this computer, and what the files hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from belay_py.errors import TransferError
from belay_py.session.files.hashes import hash_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from belay_py.session.files.ignoring import Ignore


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file that is to be on the board as well."""

    source: Path
    name: str
    """From the folder on, with slashes, as it is to be called on the board."""
    size: int
    data: bytes | None = None
    """Its content where that is not what the file holds."""

    def digest(self) -> str:
        """Return what the board says of a file with this content. Raises `TransferError`."""
        return hash_of("sha256", read(self.source) if self.data is None else self.data)


def read(file: Path) -> bytes:
    """Return what a file holds. Raises `TransferError`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error


def scan(folder: Path, ignore: Ignore) -> tuple[list[str], list[HostFile]]:
    """Return the folders and the files below a folder, each sorted by name, but for those to be left alone.

    Links to files count as these files. Raises `TransferError` for what cannot be read and what no board can have.
    """
    folders: list[str] = []
    files: list[HostFile] = []
    for entry, name in _below(folder, "", ignore):
        if entry.is_dir(follow_symlinks=False):
            folders.append(name)
        else:
            files.append(_host_file(entry, name))
    return sorted(folders), sorted(files, key=lambda file: file.name)


def _below(folder: Path | str, prefix: str, ignore: Ignore) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except (OSError, ValueError) as error:  # the latter for a NUL
        raise unreadable(folder, error) from error
    for entry in entries:
        name = f"{prefix}{entry.name}"
        is_dir = entry.is_dir(follow_symlinks=False)
        if ignore.fits(name, is_dir=is_dir):
            continue
        try:
            name.encode()
        except UnicodeEncodeError:
            raise TransferError(
                f"the name {os.fsencode(entry.path)!r} is not UTF-8, which boards want; rename it, or let it be ignored"
            ) from None
        yield entry, name
        if is_dir:
            yield from _below(entry.path, f"{name}/", ignore)


def _host_file(entry: os.DirEntry[str], name: str) -> HostFile:
    try:
        about = entry.stat()
        if not entry.is_file():
            kind = "a link to a folder" if entry.is_dir() else "no file and no folder"
            raise TransferError(
                f"{entry.path} is {kind}, which a board cannot have; let it be ignored, or copy it there"
            )
    except OSError as error:
        if entry.is_symlink():
            raise TransferError(
                f"{entry.path} is a link that leads nowhere; remove it, or let it be ignored"
            ) from error
        raise unreadable(entry.path, error) from error
    return HostFile(Path(entry.path), name, about.st_size)


def unreadable(path: Path | str, error: OSError | ValueError) -> TransferError:
    """Return the error for a file or a folder of this computer that cannot be read."""
    return TransferError(f"cannot read {path} ({getattr(error, 'strerror', None) or error}); nothing of it was sent")
