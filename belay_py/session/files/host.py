"""The host's side of a transfer: what a source holds, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from belay_py.errors import SettingsError, TransferError
from belay_py.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""What can be put on a board: the path of a file of this computer, bytes, or a file that is open for reading bytes."""

_SLASHES = tuple(filter(None, (os.sep, os.altsep)))


def read_source(source: Source) -> tuple[memoryview, str]:
    """Return what a source holds, from where it stands, and its name, empty where it has none.

    Raises `TransferError` when it cannot be read, `SettingsError` when it is no source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return memoryview(bytes(source)), ""
    try:
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            return memoryview(path.read_bytes()), path.name
        name = getattr(source, "name", "")
        content = source.read()
    except AttributeError:
        content = None
    except (OSError, ValueError) as error:
        raise TransferError(f"{shown(source)} cannot be read on this computer: {error}") from error
    if not isinstance(content, bytes):
        raise SettingsError(
            f"the source is {shown(source)}; it must be a path, bytes, or a file that is open for reading bytes"
        )
    return memoryview(content), Path(name).name if isinstance(name, str) else ""


class Written:
    """A file of this computer on its way: beside its target until it is whole."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        """Write more of it. Raises `TransferError`."""
        with _explained(self._path):
            self._file.write(data)

    def begin_anew(self) -> None:
        """Forget what was written. Raises `TransferError`."""
        with _explained(self._path):
            self._file.seek(0)
            self._file.truncate()


@contextlib.contextmanager
def written(target: str | os.PathLike[str], name: str) -> Iterator[Written]:
    """Give a file to write; at the end of the block it is ``target``, or ``name`` in that if it is a folder.

    What was there stays until then, and stays if the block raises. Where a link leads to is replaced, and not the link.
    Raises `TransferError`; also for a device or a pipe, which a rename would replace by a file.
    """
    path = Path(target)
    with _explained(path):
        if path.is_dir():
            path /= name
        elif os.fspath(target).endswith(_SLASHES):
            raise TransferError(f"there is no folder {shown(os.fspath(target))} on this computer; make it first")
        path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise TransferError(f"{str(path)!r} on this computer is {kind}; name a file, or get() the bytes alone")
        beside = path.with_name(f".{secrets.token_hex(4)}.part")
        file = beside.open("xb")
    try:
        yield Written(path, file)
        with _explained(path):
            file.close()
            beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()  # raises as well where the disk is full
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise TransferError(f"{str(path)!r} cannot be written on this computer: {error}") from error
