"""How a kit for files is asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from belay_py.errors import ExecutionError
from belay_py.session.files.base import OfSession
from belay_py.session.files.board_code import answers, failed_at
from belay_py.session.files.paths import check_remote
from belay_py.session.files.problems import explain

if TYPE_CHECKING:
    from belay_py.session.errands import Errand, Kit
    from belay_py.session.execution import ExecutionResult


class Asking(OfSession):
    """Asking the board about its files, one execution a question."""

    async def _ask(
        self, kit: Kit, *call: object, timeout: float | None, idempotent: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run a function of a kit and return what it says; see `_result_of`."""
        return answers(await self._result_of(kit, *call, timeout=timeout, idempotent=idempotent))

    async def _result_of(
        self, kit: Kit, *call: object, timeout: float | None, idempotent: bool = False
    ) -> ExecutionResult:
        """Run a function of a kit; ``call`` is its name, the path that it is about, and its other arguments.

        Raises the errors of the board's files, `NotSupported`, and what `DeviceSession.execute` raises.
        """

        async def work(errand: Errand) -> ExecutionResult:
            try:
                return await ask(errand, kit, *call, timeout=step_limit(timeout))
            except ExecutionError as error:
                raise await explain(errand, error, failed_at(error.output_bytes, str(call[1])), kit) from error

        return await self._session._errand(work, timeout, kind="files", idempotent=idempotent)  # noqa: SLF001  its files


async def ask(errand: Errand, kit: Kit, *call: object, timeout: float | None) -> ExecutionResult:
    """Run a function of a kit within an errand; ``timeout`` is of `Errand.run`. Raises `ExecutionError` and so on."""
    arguments = ",".join(map(repr, call))
    return await errand.call(kit, f"{kit.name}.run({arguments})".encode(), timeout=timeout)


def step_limit(timeout: float | None) -> float | None:
    """What one of an errand's executions may take: with a deadline for all of it, no less than that."""
    return None if timeout is None else math.inf


def board_path(path: str, *, current: bool = False) -> str:
    """Return a caller's path of the board. ``current``: it may be empty, which is the board's current folder.

    Raises what `check_remote` raises.
    """
    if current and isinstance(path, str) and not path:
        return path
    return check_remote(path, "path")
