"""Errands: work of our own on a board that takes several executions, with nobody's in between.

What such work needs on the board is a `Kit`: code that is sent once in each life of the interpreter, when first needed,
and found there by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from belay_py.errors import (
    BoardWasReset,
    Disconnected,
    ExecutionError,
    OutcomeUnknown,
    ProtocolViolation,
    SessionTimeout,
)
from belay_py.session.outcomes import WAS_RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from belay_py.session.channel import Channel
    from belay_py.session.execution import ExecutionResult
    from belay_py.session.operations import Operations
    from belay_py.session.standing import Standing


@dataclass(frozen=True, slots=True)
class Kit:
    """Code that makes one name known on a board. Make it with `kit`."""

    name: str
    """The name, which tells this code from every other version of it."""
    parts: tuple[bytes, ...]
    """The executions that define it."""

    def is_missing(self, error: ExecutionError) -> bool:
        """Whether code failed because the kit is not there; none of it had run, if it begins with the name."""
        return error.type == "NameError" and self.name in error.message


def kit(letter: str, *parts: str) -> Kit:
    """Make a kit of code in which ``KIT`` stands for the name that it defines.

    Another process may have put another version of it on the board, so the name has a hash of the code in it.
    """
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:4]
    name = f"_belay_{letter}{digest}"
    return Kit(name, tuple(part.replace("KIT", name).encode() for part in parts))


class Errand:
    """Several executions with one deadline for all. `DeviceSession` gives it to what runs within its ``_errand``."""

    def __init__(self, operations: Operations, deadline: float) -> None:
        self._operations = operations
        self.deadline = deadline
        """A reading of the loop's clock; inf where only each execution has a limit of its own."""

    @property
    def standing(self) -> Standing:
        """How the session stands."""
        return self._operations.standing

    async def converse(
        self, source: bytes, answer: Callable[[Channel, bytes], None], *, timeout: float | None = None
    ) -> ExecutionResult:
        """`run` code that reads what ``answer`` sends: it is called with the channel and output as that comes."""
        channel, deadline = await self.begin(timeout)
        return await self._operations.run_counted(channel, source, deadline, functools.partial(answer, channel))

    async def begin(self, timeout: float | None = None) -> tuple[Channel, float]:
        """Take the board for one execution; return its channel and its deadline.

        ``timeout`` is seconds for this execution, by default ``operation_timeout``.
        """
        standing = self._operations.standing
        deadline = min(standing.deadline(timeout), self.deadline)
        return await standing.begin(deadline), deadline

    async def run(
        self, source: bytes, *, sink: Callable[[bytes], None] | None = None, timeout: float | None = None
    ) -> ExecutionResult:
        """Run code; with ``sink`` its output goes there as it comes. Raises what `DeviceSession.execute` raises."""
        channel, deadline = await self.begin(timeout)
        return await self._operations.run_counted(channel, source, deadline, sink)

    async def call(
        self, kit: Kit, source: bytes, *, sink: Callable[[bytes], None] | None = None, timeout: float | None = None
    ) -> ExecutionResult:
        """`run` code that needs a kit, and names it before it does anything else."""
        await self.use(kit)
        try:
            return await self.run(source, sink=sink, timeout=timeout)
        except ExecutionError as error:
            if not kit.is_missing(error):
                raise
        await self.look_for_restart(kit)
        await self.use(kit)
        return await self.run(source, sink=sink, timeout=timeout)

    async def use(self, kit: Kit) -> None:
        """Send a kit, unless this life of the interpreter has it."""
        standing = self._operations.standing
        if standing.kits.get(kit.name) == standing.boot_epoch:
            return
        epoch = standing.boot_epoch
        look = f"try:{kit.name}\nexcept NameError:exec('print(0)',{{}})".encode()  # programs redefine print
        if (await self.run(look)).output_bytes:
            for part in kit.parts:
                await self.run(part)
        standing.kits[kit.name] = epoch

    async def forget(self, kit: Kit) -> None:
        """Have a kit sent anew when next needed: what is there under its name came damaged, or was changed."""
        self._operations.standing.kits.pop(kit.name, None)
        await self.run(f"try:del {kit.name}\nexcept NameError:pass".encode())

    async def look_for_restart(self, missing: Kit | None = None) -> None:
        """See whether a board that lacks what it had has restarted unseen; else a program has removed it."""
        if missing is not None:
            self._operations.standing.kits.pop(missing.name, None)
        channel, _ = await self.begin()
        if not await self._operations.recovery.bring_back(channel):
            trouble = self._operations.standing.trouble
            raise SessionTimeout(f"what runs on the board was gone, and then {trouble}", recovered=False)


@contextlib.contextmanager
def going_first(ours: str, theirs: str) -> Iterator[None]:
    """Say of what goes wrong here that it met code of ours, and that the caller's, which was to follow, has not run.

    ``ours`` is what was sent, ``theirs`` a sentence on what had not begun. The device's exceptions are left as they
    are.
    """
    try:
        yield
    except OutcomeUnknown as error:
        reason = str(error).removesuffix(WAS_RUNNING)
        raise Disconnected(f"{reason}. {ours[0].upper()}{ours[1:]} was going first; {theirs}") from error.__cause__
    except BoardWasReset as reset:
        if reset.outcome == "not_started":
            raise
        raise BoardWasReset(
            f"the board restarted before or while {ours} went first: its variables are gone, and {theirs}",
            outcome="not_started",
        ) from reset
    except (SessionTimeout, ProtocolViolation) as error:
        error.outcome = "not_started"
        raise


def left(deadline: float) -> float | None:
    """Return the seconds until a deadline; None where there is none."""
    return None if math.isinf(deadline) else max(0.0, deadline - asyncio.get_running_loop().time())


def deadline_of(timeout: float | None) -> float:
    """Return the loop's clock reading that is ``timeout`` seconds away; inf for None."""
    return math.inf if timeout is None else asyncio.get_running_loop().time() + timeout
