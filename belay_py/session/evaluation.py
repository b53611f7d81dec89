"""Evaluating: code goes to the board with the encoder's call around its last expression, and comes back as a value.

Whether the encoder is there is seen by its name, which is looked up before any of the code runs. Where it is missing,
nothing has run: it is sent, and the code once more; or the board has restarted unseen, and that is told.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from belay_py.errors import BoardWasReset, ExecutionError
from belay_py.session import blocks, encoder, values
from belay_py.session.returns import validator
from belay_py.session.turn import Turn

if TYPE_CHECKING:
    from belay_py.session.operations import Operations

_LOOK = encoder.NAME.encode()
_ATTEMPTS = 3
"""How often the encoder is sent for one evaluation, should something on the board remove it each time."""


class Evaluations:
    """The evaluations of one session."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._installing = Turn()
        self._installed = 0
        """The boot epoch in which the encoder was known to be there; 0 is none."""

    async def evaluate(self, code: str | bytes, returns: Any, timeout: float | None) -> Any:
        """Return the value of the code's last expression; see `DeviceSession.evaluate`."""
        validate = None if returns is None else validator(returns)
        block = blocks.split(code)
        deadline = self._operations.deadline(timeout)
        nonce = secrets.token_hex(4)
        source = block.calling(f"{encoder.NAME}('{nonce}',", look_up=encoder.NAME)
        if block.first is None:
            await self._run(_LOOK, deadline)
            output = await self._run_looked_up(source, deadline)
        else:
            output = await self._run(source, deadline)
        value = values.read(output, nonce)
        return value if validate is None else validate(value)

    async def _run(self, source: bytes, deadline: float) -> bytes:
        """Run code that looks the encoder up before it does anything; where that is missing, send it and run again."""
        operations = self._operations
        for _ in range(_ATTEMPTS):
            epoch = operations.boot_epoch
            try:
                output = await self._execute(source, deadline)
            except ExecutionError as error:
                if not _tells_that_it_is_missing(error):
                    raise
                failure = error
            else:
                self._installed = epoch
                return output
            if self._installed == operations.boot_epoch:
                self._installed = 0
                # Boards whose output cannot be marked have nothing else that a restart takes away.
                marked = operations.channel is not None and operations.channel.marked
                await operations.look_for_restart(deadline, restarted=not marked)
            await self._install(deadline)
        raise failure

    async def _run_looked_up(self, source: bytes, deadline: float) -> bytes:
        try:
            return await self._execute(source, deadline)
        except ExecutionError as error:
            if not _tells_that_it_is_missing(error):
                raise
            # It was there a moment ago: a restart in between, which the statements did not notice.
            try:
                await self._operations.look_for_restart(deadline)
            except BoardWasReset:
                raise BoardWasReset(
                    "the board restarted right before the code ran: its variables were gone",
                    output_bytes=error.output_bytes,
                ) from None
            raise

    async def _install(self, deadline: float) -> None:
        """Send the encoder, in small parts; one task at a time."""
        operations = self._operations
        await self._installing.wait(deadline)
        try:
            epoch = operations.boot_epoch
            if self._installed == epoch:
                return
            for part in encoder.INSTALL:
                await self._execute(part, deadline)
            self._installed = epoch
        except ExecutionError as error:
            if error.type == "NameError":  # of the writer of the marker, or of what an earlier part had defined
                await operations.look_for_restart(deadline)
            raise
        finally:
            self._installing.release()

    async def _execute(self, source: bytes, deadline: float) -> bytes:
        operations = self._operations
        channel = await operations.begin(deadline)
        return (await operations.run_begun(channel, source, deadline)).output_bytes


def _tells_that_it_is_missing(error: ExecutionError) -> bool:
    return error.type == "NameError" and encoder.NAME in error.message
