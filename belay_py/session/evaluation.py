"""Evaluating: code goes to the board with the encoder's call around its last expression, and comes back as a value.

Whether the encoder is there is seen by its name, which is looked up before any of the code runs. Where it is missing,
nothing has run: it is sent, and the code once more; or the board has restarted unseen, and that is told.

The encoder is no `Kit` (see `session.errands`), though sent like one: a kit is looked for in an execution of its own
before its first use, and named by a hash. The first evaluation on a board that has the encoder would take two round
trips, and each one carry more bytes. Small heaps get another one, which a kit has not.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from belay_py.errors import (
    BoardWasReset,
    ExecutionError,
    SessionTimeout,
)
from belay_py.session import blocks, encoder, nonces, values
from belay_py.session.errands import going_first
from belay_py.session.returns import validator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from belay_py.session.operations import Operations

_RESTARTED_BEFORE = "the board restarted before the code arrived, which did not run: its variables are gone"
_NOT_THE_CALLERS = "this is of the encoder of values, which was to go first; none of the code ran"
_LOOK = encoder.NAME.encode()
_OURS = {_LOOK, encoder.CLEAR, encoder.INSTALL_SMALL, *encoder.INSTALL}
_ATTEMPTS = 3
"""How often the encoder is sent for one evaluation, should something on the board remove it each time."""


class Evaluations:
    """The evaluations of one session."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._standing = operations.standing
        self._installed = 0
        """The boot epoch in which the encoder was known to be there; 0 is none."""

    async def evaluate(self, code: str | bytes, returns: Any, timeout: float | None) -> Any:
        """Return the value of the code's last expression; see `DeviceSession.evaluate`."""
        validate = None if returns is None else validator(returns)
        value = await self.value(blocks.split(code), self._standing.deadline(timeout))
        return value if validate is None else validate(value)

    async def value(self, block: blocks.Block, deadline: float) -> Any:
        """Return the value of a block of code as it is."""
        nonce = nonces.of_value()
        source = block.calling(f"{encoder.NAME}('{nonce}',", look_up=encoder.NAME)
        if block.first is None:
            async with self._undisturbed(deadline):
                with _encoder_first():
                    await self._run(_LOOK, deadline)
                output = await self._run_looked_up(source, deadline)
        else:
            output = await self._run(source, deadline)
        return values.read(output, nonce)

    async def _run(self, source: bytes, deadline: float) -> bytes:
        """Run code that looks the encoder up before it does anything; where that is missing, send it and run again."""
        found = await self._try(source, deadline)
        if isinstance(found, bytes):
            return found
        # From here on nobody's reset comes in between the sending of the encoder and what needs it.
        async with self._undisturbed(deadline):
            for _ in range(_ATTEMPTS):
                with _encoder_first():
                    await self._install(deadline)
                found = await self._try(source, deadline)
                if isinstance(found, bytes):
                    return found
        raise found

    async def _try(self, source: bytes, deadline: float) -> bytes | ExecutionError:
        """Run code and return its output, or the error that says that the encoder is missing."""
        standing = self._standing
        epoch = standing.boot_epoch
        try:
            output = await self._execute(source, deadline)
        except ExecutionError as error:
            if not _tells_that_it_is_missing(error):
                raise
            missing = error
        else:
            self._installed = epoch
            return output
        was_there = self._installed == standing.boot_epoch
        channel = standing.channel
        self._installed = 0
        # Sending the encoder shows an unseen restart too, where its responses are marked.
        if was_there or (channel is not None and not channel.marked):
            # Where nothing else tells one life of the interpreter from the next, this does.
            restarted = was_there and channel is not None and not channel.tells_restarts
            await self._look_for_restart(deadline, restarted=restarted)
        return missing

    async def _run_looked_up(self, source: bytes, deadline: float) -> bytes:
        """Run code that could not look the encoder up itself, right after that was done for it."""
        try:
            return await self._execute(source, deadline)
        except ExecutionError as error:
            if _tells_that_it_is_missing(error):
                # It was there a moment ago: a restart in between, which the statements did not notice.
                await self._look_for_restart(deadline, ran=error)
            raise

    async def _install(self, deadline: float) -> None:
        """Send the encoder, unless another task has just done so."""
        epoch = self._standing.boot_epoch
        if self._installed == epoch:
            return
        try:
            for part in encoder.INSTALL:
                await self._execute(part, deadline)
        except ExecutionError as error:
            if error.type == "NameError":  # of what an earlier part had defined
                await self._look_for_restart(deadline)
            if error.type != "MemoryError":
                raise
            await self._install_small(deadline)
        self._installed = epoch

    async def _install_small(self, deadline: float) -> None:
        """Send the encoder that asks for less, after the other one did not fit."""
        try:
            for part in (encoder.CLEAR, encoder.INSTALL_SMALL):
                await self._execute(part, deadline)
        except ExecutionError as error:
            if error.type == "MemoryError":
                error.add_note(
                    "the board has no memory for the encoder of values, about 2 KB; none of the code ran. Free some, "
                    "or print() the value and read the output of execute()"
                )
            raise

    async def _look_for_restart(
        self, deadline: float, *, restarted: bool = False, ran: ExecutionError | None = None
    ) -> None:
        """Raise `BoardWasReset` when the board, which lacks what it should have, turns out to have restarted unseen.

        ``restarted`` says that this is certain, ``ran`` is how the caller's code ended if it has run.
        """
        standing = self._standing
        channel = await standing.begin(deadline)
        epoch = standing.boot_epoch
        recovered = await self._operations.recovery.bring_back(channel, restarted=restarted)
        if standing.boot_epoch != epoch:
            if ran is not None:
                raise BoardWasReset(
                    "the board restarted right before the code ran: its variables were gone",
                    output_bytes=ran.output_bytes,
                )
            raise BoardWasReset(_RESTARTED_BEFORE, outcome="not_started")
        if not recovered:
            raise SessionTimeout(f"the value was not read, and then {standing.trouble}", recovered=False)

    @contextlib.asynccontextmanager
    async def _undisturbed(self, deadline: float) -> AsyncIterator[None]:
        """Keep the operations of other tasks out from between several of ours."""
        group = self._standing.turn.group()
        try:
            await group.begin(deadline)
            with group.membership():
                yield
        finally:
            group.end()

    async def _execute(self, source: bytes, deadline: float) -> bytes:
        """Run code. As an operation counts what is the caller's, and what keeps that from being run."""
        channel = await self._standing.begin(deadline)
        counters, is_ours = self._standing.counters, source in _OURS
        started = time.perf_counter()
        try:
            result = await self._operations.run_begun(channel, source, deadline)
        except BaseException as error:  # it goes on
            if not isinstance(error, ExecutionError) or not (is_ours or _tells_that_it_is_missing(error)):
                counters.failed(time.perf_counter() - started, error)
            raise
        if not is_ours:
            counters.ended(result.duration)
        return result.output_bytes


@contextlib.contextmanager
def _encoder_first() -> Iterator[None]:
    """`going_first` for the encoder. The device's exceptions lose their places, which are none of the caller's code."""
    try:
        with going_first("the encoder of values", "the code had not started"):
            yield
    except ExecutionError as error:
        error.frames = ()
        if _NOT_THE_CALLERS not in getattr(error, "__notes__", ()):
            error.add_note(_NOT_THE_CALLERS)
        raise


def _tells_that_it_is_missing(error: ExecutionError) -> bool:
    return error.type == "NameError" and encoder.NAME in error.message
