"""The decorator form of listeners: of some kinds of events, or of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from belay_py.errors import SettingsError
from belay_py.events import SessionEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.events import Listener

_L = TypeVar("_L", bound="Callable[[Any], object]")  # who names kinds of events may take these only


class Observable:
    """What has listeners: a session, or a manager of many, asynchronous or blocking."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with each event from now on; return what ends that."""
        raise NotImplementedError

    def on(self, *kinds: type[SessionEvent]) -> Callable[[_L], _L]:
        """Subscribe the function below to events of these classes, for good; without any, to all.

        As `subscribe`. The function stays what it is. Raises `SettingsError` for what is no class of
        `belay_py.events`.
        """
        for kind in kinds:
            if not isinstance(kind, type) or not issubclass(kind, SessionEvent):
                raise SettingsError(
                    f"{kind!r} is no class of belay_py.events; write @session.on(SessionConnected), or @session.on()"
                )

        def decorate(listener: _L) -> _L:
            self.subscribe(Choosy(listener, kinds))
            return listener

        return decorate


class Choosy:
    """A listener that is to hear of some kinds of events only."""

    def __init__(self, listener: Callable[[Any], Any], kinds: tuple[type[SessionEvent], ...]) -> None:
        self.listener = checked_listener(listener)
        self.kinds = kinds or (SessionEvent,)

    def __call__(self, event: SessionEvent) -> Any:
        return self.listener(event)

    def __repr__(self) -> str:
        return repr(self.listener)  # it is what the log names


def checked_listener(listener: _L) -> _L:
    """Return it. Raises `SettingsError` for what cannot be called."""
    if not callable(listener):
        raise SettingsError(f"the listener is {listener!r}; it must be a function, plain or async, of one event")
    return listener
