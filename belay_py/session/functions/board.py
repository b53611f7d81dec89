"""`Board`: one class describes one kind of board, for sessions of every sort; and the decorators for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, overload

from belay_py.errors import BelayError
from belay_py.session.functions.tasks import P, R, Role, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class TaskDecorator(Protocol):
    """What ``task(...)`` with options returns."""

    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    imports: str | Iterable[str] = (),
    timeout: float | None = None,
    name: str | None = None,
    idempotent: bool = False,
) -> TaskDecorator: ...


def task(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as one for boards: of a class of `Board`, or for ``session.task``, which has the options."""
    return _marked(function, "task", options)


@overload
def setup(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def setup(
    *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
) -> TaskDecorator: ...


def setup(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as one that prepares boards; see `DeviceSession.setup`."""
    return _marked(function, "setup", options)


@overload
def teardown(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def teardown(
    *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
) -> TaskDecorator: ...


def teardown(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as one that clears boards up; see `DeviceSession.teardown`."""
    return _marked(function, "teardown", options)


def _marked(function: Any, role: Role, options: dict[str, Any]) -> Any:
    if function is None:
        return lambda given: Task(given, role=role, **options)
    return Task(function, role=role, **options)


class _Session(Protocol):
    """A session of any sort: asynchronous, blocking, leased."""

    def task(self, function: Any, /) -> Any: ...


class Board:
    """A kind of board: the base of classes whose functions, marked with `task`, `setup` and `teardown`, run on one.

    An instance is that kind of board at one session. The functions get no ``self``. Tasks are called as methods: they
    return what the session's own would, something to await or the result itself.
    """

    _tasks: ClassVar[dict[str, Task[Any, Any]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        found: dict[str, Task[Any, Any]] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Task):
                    found[name] = value  # in the place of what it overrides
                else:
                    found.pop(name, None)
        cls._tasks = found

    def __init__(self, session: _Session) -> None:
        """Describe the board of a session: its setups and teardowns are that session's from now on."""
        self.session = session
        self._remotes = {task: session.task(task) for task in self._tasks.values()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.session!r}>"

    def _remote(self, task: Task[Any, Any]) -> Any:
        if "session" not in vars(self):
            name = type(self).__name__
            raise BelayError(f"{name} is at no session; call super().__init__(session) in {name}.__init__")
        return self._remotes[task] if task in self._remotes else self.session.task(task)
