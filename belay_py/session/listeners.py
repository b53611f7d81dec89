"""Who listens to a session, and how events reach them without holding the session up.

Plain listeners are called at once, in the order of the events. Each asynchronous one has a queue of its own and a task
that lives while there is something in it, so that one that executes on the session waits for its turn like anybody.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from belay_py.events import SessionEvent, StateChanged
from belay_py.session.about import About, about
from belay_py.session.group import leave_all_groups
from belay_py.session.observable import Choosy, checked_listener

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from belay_py.events import Listener
    from belay_py.lifecycle import DeviceSessionState, Lifecycle
    from belay_py.session.keeping import Keeper

_log = logging.getLogger(__name__)

QUEUE_LIMIT = 1000
"""Events that an asynchronous listener may lag behind before it misses some."""


class Subscriptions:
    """Listeners, and the way of events to them."""

    def __init__(self) -> None:
        self._all: tuple[_Subscription, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, listener: Listener, wants: Callable[[Any], bool] | None = None) -> Callable[[], None]:
        """Add one; return what takes it out again, any number of times. Raises `SettingsError` for what is none.

        Events that it does not want are none that it could miss.
        """
        subscription = _Subscription(checked_listener(listener), wants)
        self._all += (subscription,)

        def unsubscribe() -> None:
            self._all = tuple(other for other in self._all if other is not subscription)

        return unsubscribe

    def deliver(self, event: SessionEvent) -> None:
        """Tell an event to all. Nothing that a listener does reaches the caller."""
        for subscription in self._all:
            subscription.deliver(event)


class Listeners:
    """The listeners of one session. ``session`` is the object that events carry; it is held weakly."""

    def __init__(self, session: object, lifecycle: Lifecycle) -> None:
        self._session = weakref.ref(session)
        self._lifecycle = lifecycle
        self._listeners = Subscriptions()
        self.keeper: Keeper | None = None
        self.wanted = False
        """Whether anybody wants all events, also those that come with every operation or lease."""

    @property
    def session(self) -> object:
        """What events carry."""
        return self._session()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event from now on; return what ends that, any number of times.

        Raises `SettingsError` for what cannot be called.
        """
        take_out = self._listeners.add(listener)
        self.watch_changes()

        def unsubscribe() -> None:
            take_out()
            self.watch_changes()

        return unsubscribe

    def watch_changes(self) -> None:
        """Follow the changes of state as long as anybody wants them: each costs an event."""
        self.wanted = bool(self._listeners) or (self.keeper is not None and self.keeper.wants_changes)
        self._lifecycle.watch(self._state_changed if self.wanted else None)

    def emit(self, kind: type[SessionEvent], **about: Any) -> None:
        """Tell an event to all. Nothing that a listener does reaches the caller."""
        if not self._listeners and self.keeper is None:
            return
        event = kind(session=self._session(), **about)
        if self.keeper is not None:
            self.keeper.note(event)
        self._listeners.deliver(event)

    def _state_changed(self, old: DeviceSessionState, new: DeviceSessionState) -> None:
        self.emit(StateChanged, old=old, new=new)


class _Subscription:
    """One listener; its queue and its task, should it be asynchronous."""

    def __init__(self, listener: Listener, wants: Callable[[Any], bool] | None) -> None:
        self._listener: Callable[[SessionEvent], object] = listener
        self._wants = wants
        self._kinds = listener.kinds if isinstance(listener, Choosy) else (SessionEvent,)
        # The subscriber's context, not that of whoever causes an event: his groups are not the listener's.
        self._context = copy_context()
        self._context.run(leave_all_groups)
        self._waiting: deque[tuple[SessionEvent, Awaitable[None]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._missed = 0
        self._missed_of: About | None = None
        """Whose event was missed last."""

    def deliver(self, event: SessionEvent) -> None:
        if not isinstance(event, self._kinds) or (self._wants is not None and not self._wants(event)):
            return
        if len(self._waiting) >= QUEUE_LIMIT:
            self._miss(event)
            return
        try:
            awaitable = self._listener(event)
            if not inspect.isawaitable(awaitable):
                return
            self._waiting.append((event, awaitable))
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._drain(), context=self._context.copy())
        except (Exception, asyncio.CancelledError):  # noqa: BLE001  others' code: nothing of it may end a session
            _log.exception("the listener %r failed on %r", self._listener, event, extra=about(event.session))

    def _miss(self, event: SessionEvent) -> None:
        # At once, and then not with each event: one that never catches up would fill the log.
        if self._missed % QUEUE_LIMIT == 0:
            _log.warning(
                "the listener %r is too slow: %d events wait for it, and it misses those that come now",
                self._listener,
                len(self._waiting),
                extra=about(event.session),
            )
        self._missed += 1
        self._missed_of = about(event.session)

    async def _drain(self) -> None:
        """Run what an asynchronous listener has to do, one event after the other."""
        try:
            while self._waiting:
                event, awaitable = self._waiting[0]
                try:
                    await awaitable
                except (Exception, asyncio.CancelledError):
                    if (me := asyncio.current_task()) is not None and me.cancelling():
                        raise
                    _log.exception("the listener %r failed on %r", self._listener, event, extra=about(event.session))
                finally:
                    self._waiting.popleft()
        finally:
            self._task = None
            if self._missed:
                _log.warning(
                    "the listener %r was too slow and missed %d events",
                    self._listener,
                    self._missed,
                    extra=self._missed_of,
                )
                self._missed = 0
            for _, awaitable in self._waiting:
                close = getattr(awaitable, "close", None)
                if close is not None:
                    close()
            self._waiting.clear()
