"""Traces of the wire, one for each board of this process, cut into those of single tests."""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Final

import pytest

_log = logging.getLogger(__name__)

_LARGEST: Final = 1 << 20
"""Bytes after which a trace that nobody keeps is begun anew, between two tests."""
_INSTEAD: Final = {"::": "--", ":": "=", "/": "+"}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._=+-]+")
_LONGEST_NAME: Final = 120


class Trace:
    """One board's trace. ``keeps`` says that all of it stays, not only the present test's."""

    def __init__(self, path: Path, *, keeps: bool) -> None:
        self.path = path
        self._keeps = keeps
        self._start = 0
        self._openings: dict[str, bytes] = {}

    def begin(self) -> None:
        """Another test begins."""
        data = self._read(self._start)
        self._note_openings(data)
        self._start += len(data)
        if not self._keeps and self._start > _LARGEST:
            self.path.write_bytes(b"")  # sessions append
            self._start = 0

    def of_test(self) -> bytes:
        """What has gone over the wire since, as lines of a trace that is whole: each link begins with its opening."""
        data = self._read(self._start)
        links = dict.fromkeys(_links(data))
        return b"".join(self._openings[link] for link in links if link in self._openings) + data

    def _read(self, start: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read()
        except FileNotFoundError:  # it was never connected
            return b""

    def _note_openings(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            if b'"opened"' in line and (link := _link(line)):
                self._openings[link] = line


class Traces:
    """The traces of one process: in the folder that was named, else in one that goes with the process."""

    def __init__(self, folder: str | None, worker: str | None) -> None:
        self._kept = folder is not None
        self._prefix = f"{worker}-" if worker else ""
        self._traces: dict[str, Trace] = {}
        try:
            if folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="belay-pytest-"))
                return
            self._folder = Path(folder)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass  # it can be written to
        except OSError as error:
            where = folder or tempfile.gettempdir()
            raise pytest.UsageError(
                f"--belay-log-dir: {where} cannot be written to ({error.strerror}); name another folder"
            ) from error

    def of(self, board: str) -> Trace:
        """Return a board's trace."""
        if board not in self._traces:
            path = self._folder / f"{self._prefix}{file_name(board)}.jsonl"
            path.unlink(missing_ok=True)  # of an earlier run
            self._traces[board] = Trace(path, keeps=self._kept)
        return self._traces[board]

    def begin_test(self) -> None:
        """Another test begins."""
        for trace in self._traces.values():
            trace.begin()

    def write(self, nodeid: str, boards: list[str]) -> None:
        """Write what a test has done on its boards into files of its own, if a folder was named."""
        if self._kept:
            for board in boards:
                path = self._folder / f"{file_name(nodeid)}.{file_name(board)}.jsonl"
                try:
                    path.write_bytes(self.of(board).of_test())
                except OSError as error:  # a full disk: the tests go on, as their sessions do
                    _log.warning("the trace of %s on %s is not kept (%s)", nodeid, board, error)

    def close(self) -> None:
        """Remove what nobody has asked for."""
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)


def file_name(name: str) -> str:
    """A file's name for a test or a board: readable, and another one for each."""
    plain = name
    for sign, instead in _INSTEAD.items():
        plain = plain.replace(sign, instead)
    safe = _UNSAFE.sub("_", plain)[-_LONGEST_NAME:]
    if safe == plain and not any(instead in name for instead in _INSTEAD.values()):
        return safe
    return f"{safe}-{zlib.crc32(name.encode()):08x}"


def _links(data: bytes) -> list[str]:
    return [link for line in data.splitlines() if b'"opened"' not in line and (link := _link(line))]


def _link(line: bytes) -> str | None:
    try:
        return str(json.loads(line)["link"])
    except (ValueError, LookupError, TypeError):  # a line that a killed process has cut short
        return None
