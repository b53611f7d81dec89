"""Generators of remote functions: they stay on the board, by a number, and each value is one round trip.

So the board computes no value before it is asked for, other operations come between two values, and a consumer that
leaves closes the generator there.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Final

from belay_py.errors import BelayError, BoardWasReset, Disconnected, ExecutionError, SessionClosed, ValueNotSupported
from belay_py.session.about import about
from belay_py.session.errands import kit
from belay_py.session.functions.calling import located

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from belay_py.session.errands import Errand
    from belay_py.session.functions.remote import RemoteGenerator

_log = logging.getLogger(__name__)

# n is a generator's number, g a new one to keep. The result is (value,), or () at the end, or None where there is none.
# Whatever a generator raises ends it: it is forgotten then, and at its end. B: programs redefine `next`.
GENERATORS: Final = kit(
    "g",
    """\
def KIT(n,g=None,G={},B=__import__('builtins')):
 if g==0:
  g=G.pop(n,None)
  if g:g.close()
  return
 if g:G[n]=g
 if n not in G:return
 k=0
 try:
  r=(B.next(G[n]),)
  k=1
 except B.StopIteration:r=()
 finally:
  if not k:G.pop(n,None)
 return r""",
)
_BITS = 30  # small integers on every board
_GONE = "the board restarted between two values of {}: its generator is gone; call it anew"


async def close(errand: Errand, number: int) -> None:
    """Close a generator on its board, if it has begun there. Raises what it raises then."""
    try:
        await errand.run(f"{GENERATORS.name}({number},0)".encode())
    except ExecutionError as error:
        if not GENERATORS.is_missing(error):
            raise


class Values:
    """One generator on a board, as its consumer drives it."""

    def __init__(self, remote: RemoteGenerator[Any, Any], arguments: str) -> None:
        self._remote = remote
        self._session = remote.session
        self._task = remote.task
        self._arguments = arguments
        self._number = secrets.randbits(_BITS)
        self._epoch = 0
        """The boot epoch in which it began; 0 before."""

    async def stream(self) -> AsyncGenerator[Any]:
        """Yield the values; see `RemoteGenerator`."""
        validate = self._task.validate
        try:
            while True:
                try:
                    found = await self._next()
                except ExecutionError:
                    self._epoch = 0  # it has ended
                    raise
                if not found:
                    self._epoch = 0
                    return
                yield found[0] if validate is None else validate(found[0])
        except GeneratorExit:
            await self._close()
            raise
        except BaseException:  # it goes on
            try:
                await self._close()
            except ExecutionError as error:
                _log.warning("%s failed while it was closed: %s", self._task.name, error, extra=about(self._session))
            raise

    async def _next(self) -> tuple[Any, ...]:
        try:
            found = await self._session._errand(  # noqa: SLF001  the parts of one session
                self._begin if not self._epoch else self._go_on,
                self._remote.seconds,
                idempotent=self._task.idempotent and not self._epoch,
            )
        except ValueNotSupported as error:
            # It speaks of the tuple around the value.
            text = str(error).replace("item [0] is", "the value is", 1).replace("item [0]", "item ", 1)
            raise ValueNotSupported(text) from None
        if not isinstance(found, tuple):
            raise self._gone()
        return found

    async def _begin(self, errand: Errand) -> Any:
        setups = self._session._functions  # noqa: SLF001  the parts of one session

        async def begin() -> Any:
            await setups.prepare(errand)
            self._epoch = setups.calls.standing.boot_epoch
            around = f"{GENERATORS.name}({self._number},{{}})"
            return await setups.calls.value(errand, self._task, self._arguments, around, GENERATORS)

        return await setups.calls.healed(errand, begin)

    async def _go_on(self, errand: Errand) -> Any:
        calls = self._session._functions.calls  # noqa: SLF001  the parts of one session
        if calls.standing.boot_epoch != self._epoch:
            raise self._gone()
        try:
            with located(self._task, self._task.definition()):
                return await calls.evaluate(errand, f"{GENERATORS.name}({self._number})")
        except ExecutionError as error:
            if not GENERATORS.is_missing(error):
                raise
            await errand.look_for_restart()
            raise self._gone() from None
        except BoardWasReset as reset:
            if reset.outcome != "not_started":
                raise
            raise self._gone() from reset

    def _gone(self) -> BoardWasReset:
        self._epoch = 0
        return BoardWasReset(_GONE.format(self._task.name))

    async def _close(self) -> None:
        """Close it on the board. What it raises then goes on; where the board cannot be asked, it is closed later."""
        epoch, self._epoch = self._epoch, 0
        setups = self._session._functions  # noqa: SLF001  the parts of one session
        if not epoch or setups.calls.standing.boot_epoch != epoch:
            return

        async def end(errand: Errand) -> None:
            with located(self._task, self._task.definition()):
                await close(errand, self._number)

        try:
            await self._session._errand(end, self._session.options.operation_timeout)  # noqa: SLF001  as above
        except (SessionClosed, Disconnected):
            setups.abandoned.append((epoch, self._number))
        except ExecutionError:
            raise
        except BelayError as error:
            _log.warning("%s could not be closed on its board: %s", self._task.name, error, extra=about(self._session))
