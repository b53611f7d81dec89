"""The host's side of a transfer: what a source holds, and files that are there whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
import secrets
import stat
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

from belay_py.errors import SessionTimeout, SettingsError, TransferError
from belay_py.session.errands import left
from belay_py.text import shown
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import Iterator

Source: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"
"""What can be put on a board: the path of a file of this computer, bytes, or a file that is open for reading bytes."""

_numbers = itertools.count(1)
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
    except (AttributeError, TypeError):  # no file, or a path that is bytes
        content = None
    except (OSError, ValueError) as error:
        raise TransferError(f"{shown(source)} cannot be read on this computer: {error}") from error
    if not isinstance(content, bytes):
        raise SettingsError(
            f"the source is {shown(source)}; it must be a path, bytes, or a file that is open for reading bytes"
        )
    return memoryview(content), Path(name).name if isinstance(name, str) else ""


async def read_in_time(source: Source, deadline: float) -> tuple[memoryview, str]:
    """`read_source`, in a thread where that may block: a pipe waits for whoever writes it.

    ``deadline`` is a reading of the loop's clock. Raises `SessionTimeout` besides.
    """
    if not _may_block(source):
        return read_source(source)
    # A thread of its own name each: one that waits for a pipe for ever is not to be waited for by the next one.
    reading = offload(partial(read_source, source), lambda _: None, name=f"belay source {next(_numbers)}")
    try:
        return await asyncio.wait_for(reading, left(deadline))
    except TimeoutError:
        raise SessionTimeout(
            f"{shown(source)} was not read to its end before the deadline, so nothing was sent; "
            "if its writer needs more time, give timeout=",
            outcome="not_started",
        ) from None


def _may_block(source: Source) -> bool:
    if isinstance(source, str | os.PathLike):
        try:
            return not stat.S_ISREG(Path(source).stat().st_mode)
        except (OSError, ValueError, TypeError):  # `read_source` tells
            return False
    return not isinstance(source, bytes | bytearray | memoryview | io.BytesIO)


def plain(data: bytes | bytearray | memoryview) -> bytes:
    """Return a caller's bytes as they are now. Raises `SettingsError` for anything else."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise SettingsError(f"the data is {shown(data)}; it must be bytes, a bytearray or a memoryview")
    return bytes(data)


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
    except BaseException:  # it goes on
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
