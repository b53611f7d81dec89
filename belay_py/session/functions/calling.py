"""Calls on a board: what a call needs is made known to it, once in each life of its interpreter; then the call is sent.

A board that has restarted unseen lacks the names. That is noticed before anything of a call has run: what was known is
forgotten, the setups run again, and the call is sent anew.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from belay_py.errors import (
    BoardWasReset,
    CodeTooLarge,
    ExecutionError,
)
from belay_py.session import blocks
from belay_py.session.errands import going_first
from belay_py.session.execution import encode_code
from belay_py.session.functions.literals import UNPACK
from belay_py.session.tracebacks import locate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from belay_py.session.errands import Errand, Kit
    from belay_py.session.evaluation import Evaluations
    from belay_py.session.functions.definition import Definition
    from belay_py.session.functions.tasks import Task
    from belay_py.session.standing import Standing
    from belay_py.session.tracebacks import Source

_T = TypeVar("_T")
_ATTEMPTS: Final = 3
"""How often a call is sent, should its board restart unseen each time right before."""
_OURS: Final = re.compile(r"_belay_[fgu][0-9a-f]+\b")
"""The names of functions, and of the kits that they use."""
_NOT_CALLED: Final = ("the function", "it was not called")
_UNKNOWN_NAME: Final = re.compile(r"name '(\w+)' isn't defined")


class Calls:
    """The calls on one session's board."""

    def __init__(self, standing: Standing, evaluations: Evaluations) -> None:
        self.standing = standing
        self._evaluations = evaluations

    async def healed(self, errand: Errand, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do work, again if the board turns out not to have what it had: none of it has run then."""
        standing = self.standing
        for attempts_left in reversed(range(_ATTEMPTS)):
            generation = standing.generation
            try:
                return await work()
            except ExecutionError as error:
                if not _is_missing(error) or not attempts_left:
                    raise
                for name in _OURS.findall(error.message):
                    standing.kits.pop(name, None)
                await errand.look_for_restart()
            except BoardWasReset as reset:
                # A link that was lost with the board is told: others rely on what the board held.
                if reset.outcome != "not_started" or standing.generation != generation or not attempts_left:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def run(self, errand: Errand, task: Task[Any, Any]) -> None:
        """Call a function without arguments; what it returns is left on the board."""
        definition = task.definition()
        await self._send(errand, definition)
        with located(task, definition):
            await errand.run(f"{definition.name}()".encode(), timeout=task.timeout)

    async def value(
        self, errand: Errand, task: Task[Any, Any], arguments: str, around: str = "{}", kit: Kit | None = None
    ) -> Any:
        """Call a function with arguments as they are written; return what it returns.

        ``around`` is an expression that the call stands in, which may need a ``kit``.
        """
        definition = task.definition()
        await self._send(errand, definition)
        if UNPACK.name in arguments:
            await self.use(errand, UNPACK)
        if kit is not None:
            await self.use(errand, kit)
        with located(task, definition):
            try:
                return await self.evaluate(errand, around.replace("{}", f"{definition.name}({arguments})", 1))
            except CodeTooLarge as error:
                error.add_note(
                    f"{len(arguments)} characters of it are arguments; put such data on the board as a file, and pass "
                    "its name"
                )
                raise

    async def evaluate(self, errand: Errand, expression: str) -> Any:
        """Return the value of an expression of ours."""
        return await self._evaluations.value(blocks.expression(encode_code(expression)), errand.deadline)

    async def use(self, errand: Errand, kit: Kit) -> None:
        """Make a kit known."""
        if not self._has(kit.name):
            with going_first(*_NOT_CALLED):
                await errand.use(kit)

    async def _send(self, errand: Errand, definition: Definition) -> None:
        if self._has(definition.name):
            return
        for needed in definition.needs:
            await self._send(errand, needed)
        if definition.unpacks:
            await self.use(errand, UNPACK)
        epoch = self.standing.boot_epoch
        try:
            with going_first(*_NOT_CALLED):
                await errand.run(definition.code)
        except ExecutionError as error:
            locate(error, definition.sent)
            raise
        self.standing.kits[definition.name] = epoch

    def _has(self, name: str) -> bool:
        return self.standing.kits.get(name) == self.standing.boot_epoch


@contextlib.contextmanager
def located(task: Task[Any, Any], definition: Definition) -> Iterator[None]:
    """Put the host's places into an error, and what is known about a name that the board does not know."""
    try:
        yield
    except ExecutionError as error:
        locate(error, *_places(definition))
        unknown = _UNKNOWN_NAME.match(error.message) if error.type == "NameError" else None
        if unknown is not None and (hint := task.explain(unknown[1])):
            error.add_note(hint)
        raise


def _places(definition: Definition) -> Iterator[Source]:
    yield definition.called
    for needed in definition.needs:
        yield from _places(needed)


def _is_missing(error: ExecutionError) -> bool:
    return error.type == "NameError" and _OURS.search(error.message) is not None
