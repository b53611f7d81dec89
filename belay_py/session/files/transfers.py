"""Moving files between the host and the board."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Literal, overload

from belay_py.session.files.base import OfSession
from belay_py.session.files.transfer import Encoding, Transfer

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from belay_py.session.errands import Errand
    from belay_py.session.files.transfer import Progress


class Transfers(OfSession):
    """Putting files on the board and getting them from there."""

    async def put(
        self,
        source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes],
        target: str,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
        encoding: Encoding | None = None,
        verify: bool = True,
    ) -> Transfer:
        """Put a file on the board."""
        from pathlib import Path  # noqa: PLC0415  a first version

        data = bytes(source) if isinstance(source, bytes | bytearray | memoryview) else None
        if data is None:
            data = source.read() if hasattr(source, "read") else Path(source).read_bytes()  # type: ignore

        async def work(errand: Errand) -> Transfer:
            await errand.run(f"with open({ascii(target)},'wb') as f:f.write({data!r})".encode())
            return Transfer(target, len(data), 0, "literal", 0.0)

        return await self._session._errand(work, timeout)

    @overload
    async def get(
        self,
        source: str,
        target: None = None,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
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
        """Get a file from the board."""
        from pathlib import Path  # noqa: PLC0415  a first version

        data: bytes = await self._session.evaluate(f"open({ascii(source)},'rb').read()", timeout=timeout)
        if target is None:
            return data
        Path(target).write_bytes(data)
        return Transfer(source, len(data), 0, "literal", 0.0)

    async def read_bytes(self, path: str, *, timeout: float | None = None) -> bytes:
        """Return a file's content."""
        return await self.get(path, timeout=timeout)

    async def read_text(
        self, path: str, *, encoding: str = "utf-8", errors: str = "strict", timeout: float | None = None
    ) -> str:
        """Return a file's content as text."""
        return (await self.get(path, timeout=timeout)).decode(encoding, errors)

    async def write_bytes(
        self, path: str, data: bytes | bytearray | memoryview, *, timeout: float | None = None
    ) -> Transfer:
        """Make a file of bytes."""
        return await self.put(data, path, timeout=timeout)

    async def write_text(
        self, path: str, text: str, *, encoding: str = "utf-8", timeout: float | None = None
    ) -> Transfer:
        """Make a file of text."""
        return await self.put(text.encode(encoding), path, timeout=timeout)
