"""Moving files between the host and the board."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, overload

from belay_py.errors import RemoteIsADirectory, TransferError
from belay_py.options.checks import check_function, is_path, one_of, or_none, require
from belay_py.session.errands import deadline_of, left
from belay_py.session.files import host
from belay_py.session.files.base import OfSession
from belay_py.session.files.download import Download
from belay_py.session.files.paths import Target, check_remote
from belay_py.session.files.transfer import ENCODINGS, Transfer
from belay_py.session.files.upload import Upload

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from belay_py.session.errands import Errand
    from belay_py.session.files.host import Source
    from belay_py.session.files.transfer import Encoding, Progress

_TEXT = (lambda value: isinstance(value, str), "text")
_CODEC = (lambda value: isinstance(value, str), "the name of an encoding, such as 'utf-8'")
_HOST_PATH = (is_path, "the path of a file or a folder of this computer")


class Transfers(OfSession):
    """Putting files on the board and getting them from there."""

    async def put(
        self,
        source: Source,
        target: str,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
        encoding: Encoding | None = None,
        verify: bool = True,
    ) -> Transfer:
        """Put a file on the board, whole or not at all: a cut leaves the old file there or the new one.

        ``source`` is the path of a file of this computer, bytes, or a file that is open for reading bytes. ``target``
        is the file's path on the board; a folder's, or one that ends in a slash, means the source's name in that
        folder. The content goes into a part beside the target, is checked there by its hash (unless ``verify`` is
        False) and renamed. A later put of the same content goes on from a part that was left.

        ``timeout`` is seconds for all of it; with None only each step has ``operation_timeout``, reading a pipe too.
        ``progress`` is called with the bytes that are done and those of the whole; what it raises ends the transfer.
        ``encoding`` is chosen by what the board has and what the content is, unless it is given.

        Raises `RemoteFileError` (`RemoteFileNotFound` for a missing folder, `RemoteIsADirectory`,
        `RemoteNotADirectory`, one with ``errno.ENOSPC`` for a full file system, ...), `TransferError` for a source that
        cannot be read or content that came damaged, `NotSupported` for an encoding that the board has not, and what
        `DeviceSession.execute` raises.
        """
        require("encoding", encoding, or_none(one_of(*ENCODINGS)))
        check_function("progress", progress)
        deadline = self._deadline(timeout)
        reading = deadline if timeout is not None else deadline_of(self._session.options.operation_timeout)
        content, name = await host.read_in_time(source, reading)
        place = Target.of(target, name)

        async def work(errand: Errand) -> Transfer:
            upload = Upload(errand, content, place, encoding=encoding, verify=verify, progress=progress)
            return await upload.run()

        return await self._do(work, left(deadline))

    @overload
    async def get(
        self, source: str, target: None = None, *, timeout: float | None = None, progress: Progress | None = None
    ) -> bytes: ...
    @overload
    async def get(
        self,
        source: str,
        target: str | os.PathLike[str],
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Transfer: ...
    async def get(
        self,
        source: str,
        target: str | os.PathLike[str] | None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> bytes | Transfer:
        """Get a file from the board: its bytes, or with ``target`` into a file of this computer.

        ``target`` is a path; a folder's means the source's name in it. The file is there when all of it has come and
        its hash was compared, else what was there before. ``timeout`` and ``progress`` are as in `put`. Raises
        `RemoteFileError` (`RemoteFileNotFound`, `RemoteIsADirectory`, ...), `TransferError` for a target that cannot be
        written or content that came damaged, and what `DeviceSession.execute` raises.
        """
        check_remote(source, "source")
        check_function("progress", progress)
        if target is None:
            content = bytearray()

            def write(data: bytes) -> None:
                content.extend(data)

            await self._get(source, write, timeout, progress, content.clear)
            return bytes(content)
        require("target", target, _HOST_PATH)
        name = source.rstrip("/").rpartition("/")[2]
        if name in ("", ".", ".."):
            raise RemoteIsADirectory(errno.EISDIR, "this is a folder; name a file in it", source)
        with host.written(target, name) as file:
            return await self._get(source, file.write, timeout, progress, file.begin_anew)

    async def _get(
        self,
        source: str,
        write: Callable[[bytes], object],
        timeout: float | None,
        progress: Progress | None,
        again: Callable[[], object],
    ) -> Transfer:
        async def work(errand: Errand) -> Transfer:
            again()  # a retry begins anew
            return await Download(errand, source, write, progress=progress).run()

        return await self._do(work, timeout)

    def _deadline(self, timeout: float | None) -> float:
        standing = self._session._standing  # noqa: SLF001  its files
        return deadline_of(None if timeout is None else standing.seconds("timeout", timeout))

    async def _do(self, work: Callable[[Errand], Awaitable[Transfer]], timeout: float | None) -> Transfer:
        # A second put of the same content, or a second get, changes nothing: policies may try them again.
        run = self._session._errand  # noqa: SLF001  it is the session's for what is built on it, as this is
        return await run(work, timeout, kind="files", idempotent=True)

    async def read_bytes(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return a file's content. Raises what `get` raises."""
        return await self.get(path, timeout=timeout)

    async def read_text(self, path: str, *, encoding: str = "utf-8", timeout: float | None = None) -> str:
        """Return a file's content as text, line ends as they are. Raises what `get` raises, and `TransferError`."""
        require("encoding", encoding, _CODEC)
        content = await self.get(path, timeout=timeout)
        try:
            return content.decode(encoding)
        except (ValueError, LookupError) as error:
            raise TransferError(
                f"{path!r} is no text in {encoding} ({error}); read_bytes() returns its bytes"
            ) from None

    async def write_bytes(
        self, path: str, data: bytes | bytearray | memoryview, *, timeout: float | None = None
    ) -> Transfer:
        """Make a file of bytes, in place of what was there. Raises what `put` raises."""
        return await self.put(host.plain(data), path, timeout=timeout)

    async def write_text(
        self, path: str, text: str, *, encoding: str = "utf-8", timeout: float | None = None
    ) -> Transfer:
        """Make a file of text, line ends as they are, in place of what was there. Raises what `put` raises."""
        require("encoding", encoding, _CODEC)
        require("text", text, _TEXT)
        try:
            data = text.encode(encoding)
        except (ValueError, LookupError) as error:
            raise TransferError(f"the text for {path!r} cannot be written in {encoding} ({error})") from None
        return await self.put(data, path, timeout=timeout)
