"""What the blocking session and manager share: the way to the loop's thread, and the way of events back."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from belay_py.errors import BelayError, SessionClosed
from belay_py.session.observable import Choosy, Observable
from belay_py.sync.loop_thread import has_ended, loop_thread
from belay_py.transports.offload import offload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from belay_py.events import Listener, SessionEvent
    from belay_py.metrics import Instrument
    from belay_py.session.session import DeviceSession

_T = TypeVar("_T")


class Face:
    """The blocking face of something asynchronous."""

    _ELSEWHERE: ClassVar[str]
    """What a forked child is told."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def _run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        if self._process != os.getpid():
            coroutine.close()
            raise BelayError(self._ELSEWHERE)
        thread = loop_thread()
        if thread.ended:
            coroutine.close()
            raise SessionClosed("the program is ending, and its sessions were closed; use them before that")
        return thread.run(coroutine, settle=self._settled)

    def _run_if_alive(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """For endings: in a forked child, and while the program ends, there is nothing left to end."""
        if self._process != os.getpid() or has_ended():
            coroutine.close()
        else:
            self._run(coroutine)

    def _close_pieces(self, pieces: AsyncGenerator[Any]) -> None:
        """Close what a generator of ours is fed from, once its consumer has left it."""
        if self._process == os.getpid() and not has_ended() and loop_thread().is_here:
            return  # it is collected as garbage, in this thread by chance: asyncio closes what nobody has any more
        self._run_if_alive(pieces.aclose())

    def _end(self, ending: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run an ending that may run twice, and wait for it also when Ctrl-C comes, perhaps before it has begun."""
        try:
            self._run_if_alive(ending())
        except KeyboardInterrupt:
            self._run_if_alive(ending())
            raise

    async def _settled(self) -> None:
        """Wait for what a cancelled call has left to do. Bounded."""


class ObservableFace(Face, Observable):
    """The blocking face of what has listeners."""

    def _face_of(self, session: DeviceSession) -> object:
        """The blocking session of an event's."""
        raise NotImplementedError

    def _subscribed(
        self, subscribe: Callable[[Listener], Callable[[], None]], listener: Listener
    ) -> Callable[[], None]:
        return self._ended_anywhere(self._run(call(subscribe, self._adapted(listener))))

    def _instrumented(
        self, install: Callable[[Instrument], Callable[[], None]], instrument: Instrument
    ) -> Callable[[], None]:
        return self._ended_anywhere(self._run(call(install, instrument)))

    def _ended_anywhere(self, unsubscribe: Callable[[], None]) -> Callable[[], None]:
        """Return what ends a subscription, for any thread."""

        def end() -> None:
            if loop_thread().is_here:  # an asynchronous listener that ends itself
                unsubscribe()
            else:
                self._run_if_alive(call(unsubscribe))

        return end

    def _adapted(self, listener: Any) -> Listener:
        if isinstance(listener, Choosy):
            return Choosy(self._adapted(listener.listener), listener.kinds)
        if not callable(listener) or is_asynchronous(listener):
            return listener  # type: ignore[no-any-return]  # what is no listener is refused by `subscribe`

        @functools.wraps(listener)  # it is what the log names
        async def relay(event: SessionEvent) -> None:
            told = functools.partial(listener, dataclasses.replace(event, session=self._face_of(event.session)))
            await in_a_thread(told, name=f"belay listener {id(relay):x}")

        return relay


async def call(function: Callable[..., _T], *arguments: Any) -> _T:
    """Call a function on the loop's thread."""
    return function(*arguments)


def is_asynchronous(function: object) -> bool:
    """Whether calling it gives something to await."""
    # An object's own `async def __call__` is not seen by looking at the object.
    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))


async def in_a_thread(function: Callable[[], _T], *, name: str) -> _T:
    """Call a function of the user's in a daemon thread, one at a time for each ``name``; raise what it raises.

    Not by asyncio.to_thread: a program could not end while a thread of its pool is in there.
    """

    def guarded() -> _T:
        try:
            return function()
        except BaseException as error:  # it goes on, or one of ours does
            if isinstance(error, Exception) and not isinstance(error, StopIteration):
                raise
            # A future does not take StopIteration, and SystemExit would end the loop and with it every session.
            raise BelayError(f"{type(error).__name__} cannot leave a thread of belay_py; raise an error") from error

    return await offload(guarded, lambda _: None, name=name)
