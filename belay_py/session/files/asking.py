"""How a kit for files is asked, and how its refusals become errors of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from belay_py.errors import ExecutionError, NotSupported
from belay_py.session.files.base import OfSession
from belay_py.session.files.board_code import answers, failed_at
from belay_py.session.files.paths import check_remote
from belay_py.session.files.problems import remote_error

if TYPE_CHECKING:
    from belay_py.errors import BelayError
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
            return await ask(errand, kit, *call, timeout=step_limit(timeout))

        try:
            return await self._session._errand(work, timeout, kind="files", idempotent=idempotent)  # noqa: SLF001  its files
        except ExecutionError as error:
            raise refusal(error, str(call[1])) from error


async def ask(errand: Errand, kit: Kit, *call: object, timeout: float | None) -> ExecutionResult:
    """Run a function of a kit within an errand; ``timeout`` is of `Errand.run`. Raises `ExecutionError` and so on."""
    arguments = ",".join(map(repr, call))
    return await errand.call(kit, f"{kit.name}.run({arguments})".encode(), timeout=timeout)


def step_limit(timeout: float | None) -> float | None:
    """What one of an errand's executions may take: with a deadline for all of it, no less than that."""
    return None if timeout is None else math.inf


def refusal(error: ExecutionError, path: str) -> BelayError:
    """Return what to raise where a kit's function has failed; ``path`` is what it was asked about."""
    if error.type in ("AttributeError", "ImportError"):
        # In code of ours that is a module or a function of one, which small firmware leaves out.
        return NotSupported(
            f"the board's firmware lacks what this needs ({error.message}); use firmware that has it, or execute() "
            "code of your own"
        )
    if error.type in ("OSError", "MemoryError"):
        return remote_error(error, failed_at(error.output_bytes, path))
    return error


def board_path(path: str, *, current: bool = False) -> str:
    """Return a caller's path of the board. ``current``: it may be empty, which is the board's current folder.

    Raises what `check_remote` raises.
    """
    if current and isinstance(path, str) and not path:
        return path
    return check_remote(path, "path")
