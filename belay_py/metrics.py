"""The seam for tracers: what is told of each call of a session, of each connect and of each lease.

Counting needs none of this: sessions and managers count by themselves, and a snapshot (`SessionStatistics`,
`ManagerStatistics`) is there whenever somebody asks. An instrument is for what wants each single one, with its begin
and its end.
"""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from belay_py.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Kind = Literal[
    "execute", "evaluate", "stream", "execute_many", "call", "files", "set_time", "soft_reset", "hard_reset",
    "connect", "reconnect", "lease",
]  # fmt: skip
"""``call`` is one of a remote function, ``files`` one of `Files`; ``reconnect`` is each connect after the first one."""


class Operation(NamedTuple):
    """What begins: a call of a user's, with all its attempts and its waiting; a connect; a lease.

    Of a lease ``device_id`` names what is wanted, and there is no session yet: see `Observation.granted`.
    """

    kind: Kind
    device_id: str
    session_id: str = ""
    generation: int = 0
    """Which connection the session has at the moment; 0 is none yet."""
    port: str = ""


class Observation(Protocol):
    """What an instrument makes of one operation."""

    def granted(self, sessions: Mapping[str, str], waited: float, /) -> None:
        """Learn which devices a lease got, with the ids of their sessions, after how many seconds. Only leases."""

    def ended(self, duration: float, error: BaseException | None, /) -> None:
        """Learn that it is over, after how many seconds, and what it raised (`asyncio.CancelledError` included)."""


class Instrument(Protocol):
    """Whoever wants to know of each operation. Install it with ``session.instrument`` or ``manager.instrument``.

    It is called on the way of the operation, in its task and context, so it must not block. What it raises is logged
    and changes nothing.
    """

    def begin(self, operation: Operation, /) -> Observation | None:
        """Learn that something begins; return what is to be told how it goes on, or None."""


class Installed:
    """One installation of an instrument, which may be installed several times."""

    __slots__ = ("instrument",)

    def __init__(self, instrument: Instrument) -> None:
        if not callable(getattr(instrument, "begin", None)):
            raise SettingsError(f"the instrument is {instrument!r}; it must have begin(operation)")
        self.instrument = instrument


Installations: TypeAlias = tuple[Installed, ...]


class Observed:
    """What all instruments make of one operation, none of whose errors get out."""

    __slots__ = ("_began", "_observations", "_operation")

    def __init__(self, instruments: Installations, operation: Operation) -> None:
        self._began = time.perf_counter()
        self._operation = operation
        self._observations: list[Observation] = []
        for installed in instruments:
            try:
                observation = installed.instrument.begin(operation)
            except Exception:  # noqa: BLE001  others' code: nothing of it may end an operation
                self._complain(installed.instrument)
            else:
                if observation is not None:
                    self._observations.append(observation)

    def granted(self, sessions: Mapping[str, str], waited: float) -> None:
        """See `Observation`."""
        for observation in self._observations:
            try:
                observation.granted(sessions, waited)
            except Exception:  # noqa: BLE001  as above
                self._complain(observation)

    def ended(self, error: BaseException | None) -> None:
        """See `Observation`. The first one ended is the last one told, as with blocks in blocks."""
        duration = time.perf_counter() - self._began
        while self._observations:
            observation = self._observations.pop()
            try:
                observation.ended(duration, error)
            except Exception:  # noqa: BLE001  as above
                self._complain(observation)

    def _complain(self, of: object) -> None:
        _, device, session, generation, _ = self._operation
        about = {"device": device, "session": session, "generation": generation}
        _log.exception("the instrument %r failed; the operation goes on", of, extra=about)


async def observed(instruments: Installations, operation: Operation, work: Awaitable[_T]) -> _T:
    """Do ``work``, and tell instruments of it."""
    watching = Observed(instruments, operation)
    try:
        result = await work
    except BaseException as error:  # it goes on
        watching.ended(error)
        raise
    watching.ended(None)
    return result


async def observed_pieces(
    instruments: Installations, operation: Operation, pieces: AsyncGenerator[_T]
) -> AsyncGenerator[_T]:
    """Pass pieces on, and tell instruments of the whole. A consumer that stops half-way ends it without an error."""
    watching = Observed(instruments, operation)
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    except GeneratorExit:
        watching.ended(None)
        raise
    except BaseException as error:  # it goes on
        watching.ended(error)
        raise
    watching.ended(None)


def without(instruments: Installations, installed: Installed) -> Installations:
    """Return them but for one."""
    return tuple(other for other in instruments if other is not installed)
