"""What of `DeviceSession` is around an operation: its policies, and the instruments that are told of it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from belay_py.metrics import Installed, without

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.metrics import Instrument, Kind
    from belay_py.session.guarded import Guard
    from belay_py.session.link import Link
    from belay_py.session.standing import Standing

P = ParamSpec("P")
_T = TypeVar("_T")


class Instrumented:
    """A session that instruments can be installed on."""

    _standing: Standing
    _guard: Guard | None

    def instrument(self, instrument: Instrument) -> Callable[[], None]:
        """Tell ``instrument`` of each operation and each connect from now on; return what ends that.

        See `belay_py.metrics`. Several may be installed. What one raises is logged and changes nothing. Raises
        `SettingsError` for what is no instrument.
        """
        standing, installed = self._standing, Installed(instrument)
        standing.instruments += (installed,)

        def uninstall() -> None:
            standing.instruments = without(standing.instruments, installed)

        return uninstall

    async def _around(
        self,
        kind: Kind,
        work: Callable[[float | None], Awaitable[_T]],
        timeout: float | None,
        *,
        idempotent: bool = False,
        once: bool = False,
    ) -> _T:
        """Do ``work`` under the session's policies, and tell its instruments. See `Guard.run`."""
        guard = self._guard
        doing = work(timeout) if guard is None else guard.run(work, timeout, idempotent=idempotent, once=once)
        return await self._standing.observe(kind, doing)


def told(connect: Callable[Concatenate[Link, P], Awaitable[None]]) -> Callable[Concatenate[Link, P], Awaitable[None]]:
    """Let instruments be told of a connect, whoever wants it."""

    @functools.wraps(connect)
    def connecting(self: Link, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[None]:
        standing = self._standing
        kind: Kind = "reconnect" if standing.generation else "connect"
        return standing.observe(kind, connect(self, *args, **kwargs), standing.generation + 1)

    return connecting
