"""The blocking `Files`: each method is its asynchronous twin's, run on the loop's thread. So is ``progress``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, overload

from belay_py.sync.executing import next_or_none

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator
    from os import PathLike
    from types import TracebackType

    from belay_py.session.files import Files as AsynchronousFiles
    from belay_py.session.files.entries import Entry, Space
    from belay_py.session.files.host import Source
    from belay_py.session.files.plans import SyncPlan
    from belay_py.session.files.streams import OpenMode
    from belay_py.session.files.streams import RemoteFile as AsynchronousFile
    from belay_py.session.files.transfer import Encoding, Progress, Transfer
    from belay_py.sync.face import Face


class Files:
    """The blocking `belay_py.DeviceSession.files`: the same methods and errors."""

    def __init__(self, face: Face, files: AsynchronousFiles) -> None:
        self._run = face._run  # noqa: SLF001  a part of the face
        self._run_if_alive = face._run_if_alive  # noqa: SLF001  as above
        self._close_pieces = face._close_pieces  # noqa: SLF001  as above
        self._files = files

    def put(
        self,
        source: Source,
        target: str,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
        encoding: Encoding | None = None,
        verify: bool = True,
    ) -> Transfer:
        """See `Files.put`."""
        put = self._files.put
        return self._run(put(source, target, timeout=timeout, progress=progress, encoding=encoding, verify=verify))

    @overload
    def get(
        self, source: str, target: None = None, *, timeout: float | None = None, progress: Progress | None = None
    ) -> bytes: ...
    @overload
    def get(
        self,
        source: str,
        target: str | PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Transfer: ...
    def get(
        self,
        source: str,
        target: str | PathLike[str] | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> bytes | Transfer:
        """See `Files.get`."""
        get = self._files.get
        if target is None:  # the overloads of the asynchronous one want to see it
            return self._run(get(source, timeout=timeout, progress=progress))
        return self._run(get(source, target, timeout=timeout, progress=progress))

    def read_bytes(self, path: str, *, timeout: float | None = None) -> bytes:
        """See `Files.read_bytes`."""
        return self._run(self._files.read_bytes(path, timeout=timeout))

    def read_text(self, path: str, *, encoding: str = "utf-8", timeout: float | None = None) -> str:
        """See `Files.read_text`."""
        return self._run(self._files.read_text(path, encoding=encoding, timeout=timeout))

    def write_bytes(self, path: str, data: bytes | bytearray | memoryview, *, timeout: float | None = None) -> Transfer:
        """See `Files.write_bytes`."""
        return self._run(self._files.write_bytes(path, data, timeout=timeout))

    def write_text(self, path: str, text: str, *, encoding: str = "utf-8", timeout: float | None = None) -> Transfer:
        """See `Files.write_text`."""
        return self._run(self._files.write_text(path, text, encoding=encoding, timeout=timeout))

    def list(self, path: str = "", *, timeout: float | None = None) -> builtins.list[Entry]:
        """See `Files.list`."""
        return self._run(self._files.list(path, timeout=timeout))

    def walk(self, path: str = "", *, timeout: float | None = None) -> Iterator[Entry]:
        """See `Files.walk`."""
        entries = self._files.walk(path, timeout=timeout)
        try:
            while (entry := self._run(next_or_none(entries))) is not None:
                yield entry
        finally:
            self._close_pieces(entries)

    def stat(self, path: str, *, timeout: float | None = None) -> Entry:
        """See `Files.stat`."""
        return self._run(self._files.stat(path, timeout=timeout))

    def exists(self, path: str, *, timeout: float | None = None) -> bool:
        """See `Files.exists`."""
        return self._run(self._files.exists(path, timeout=timeout))

    def is_dir(self, path: str, *, timeout: float | None = None) -> bool:
        """See `Files.is_dir`."""
        return self._run(self._files.is_dir(path, timeout=timeout))

    def is_file(self, path: str, *, timeout: float | None = None) -> bool:
        """See `Files.is_file`."""
        return self._run(self._files.is_file(path, timeout=timeout))

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False, timeout: float | None = None) -> None:
        """See `Files.mkdir`."""
        self._run(self._files.mkdir(path, parents=parents, exist_ok=exist_ok, timeout=timeout))

    def rename(self, path: str, to: str, *, timeout: float | None = None) -> None:
        """See `Files.rename`."""
        self._run(self._files.rename(path, to, timeout=timeout))

    def remove(
        self, path: str, *, recursive: bool = False, missing_ok: bool = False, timeout: float | None = None
    ) -> None:
        """See `Files.remove`."""
        self._run(self._files.remove(path, recursive=recursive, missing_ok=missing_ok, timeout=timeout))

    def touch(self, path: str, *, timeout: float | None = None) -> None:
        """See `Files.touch`."""
        self._run(self._files.touch(path, timeout=timeout))

    def free_space(self, path: str = "/", *, timeout: float | None = None) -> Space:
        """See `Files.free_space`."""
        return self._run(self._files.free_space(path, timeout=timeout))

    def hash(self, path: str, algorithm: str = "sha256", *, timeout: float | None = None) -> str:
        """See `Files.hash`."""
        return self._run(self._files.hash(path, algorithm, timeout=timeout))

    def open(
        self, path: str, mode: OpenMode = "rb", *, piece: int | None = None, timeout: float | None = None
    ) -> RemoteFile:
        """See `Files.open`; the file is for a ``with`` block."""
        return RemoteFile(self, self._files.open(path, mode, piece=piece, timeout=timeout))

    def plan_sync(
        self,
        folder: str | PathLike[str],
        target: str = "/",
        *,
        delete: bool = False,
        ignore: Iterable[str] = (),
        mpy: bool = False,
        timeout: float | None = None,
    ) -> SyncPlan:
        """See `Files.plan_sync`."""
        plan = self._files.plan_sync
        return self._run(plan(folder, target, delete=delete, ignore=ignore, mpy=mpy, timeout=timeout))

    def sync(
        self,
        folder: str | PathLike[str],
        target: str = "/",
        *,
        delete: bool = False,
        ignore: Iterable[str] = (),
        mpy: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> SyncPlan:
        """See `Files.sync`."""
        how = {"delete": delete, "mpy": mpy, "dry_run": dry_run}
        return self._run(self._files.sync(folder, target, **how, ignore=ignore, timeout=timeout, progress=progress))

    def compile(self, source: bytes | str, *, name: str = "module.py") -> bytes:
        """See `Files.compile`."""
        return self._run(self._files.compile(source, name=name))


class RemoteFile:
    """A file of the board, piece by piece: the blocking `belay_py.session.files.streams.RemoteFile`."""

    def __init__(self, files: Files, file: AsynchronousFile) -> None:
        self._run = files._run  # noqa: SLF001  of one family
        self._run_if_alive = files._run_if_alive  # noqa: SLF001  as above
        self._file = file

    def __repr__(self) -> str:
        return f"<sync {repr(self._file)[1:]}"

    @property
    def path(self) -> str:
        """The file's path on the board."""
        return self._file.path

    @property
    def mode(self) -> OpenMode:
        """How it is open."""
        return self._file.mode

    def __enter__(self) -> Self:
        self._run(self._file.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run_if_alive(self._file.__aexit__(kind, error, trace))

    def close(self) -> None:
        """See `RemoteFile.close`."""
        self._run_if_alive(self._file.close())

    def tell(self) -> int:
        """See `RemoteFile.tell`."""
        return self._file.tell()

    def seek(self, place: int) -> None:
        """See `RemoteFile.seek`."""
        self._file.seek(place)

    def read(self, size: int = -1) -> bytes:
        """See `RemoteFile.read`."""
        return self._run(self._file.read(size))

    def __iter__(self) -> Iterator[bytes]:
        pieces = aiter(self._file)
        while (piece := self._run(_next_piece(pieces))) is not None:
            yield piece

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """See `RemoteFile.write`."""
        return self._run(self._file.write(data))

    def flush(self) -> None:
        """See `RemoteFile.flush`."""
        self._run(self._file.flush())


async def _next_piece(file: AsynchronousFile) -> bytes | None:
    return await anext(file, None)
