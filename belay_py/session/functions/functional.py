"""The decorators of a session: `task`, `setup` and `teardown`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar, overload

from belay_py.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from belay_py.session.evaluation import Evaluations
    from belay_py.session.functions.remote import RemoteFunction, RemoteGenerator
    from belay_py.session.functions.setups import Setups
    from belay_py.session.functions.tasks import Role
    from belay_py.session.operations import Operations
    from belay_py.session.standing import Standing

P = ParamSpec("P")
R = TypeVar("R")
LONGEST_TEARDOWN: Final = 5.0
"""Seconds for all teardowns together, and for stopping what runs on the board then."""


class Decorator(Protocol):
    """What ``session.task(...)`` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Iterator[R]], /) -> RemoteGenerator[P, R]: ...  # type: ignore[overload-overlap]  # a generator function is a function

    @overload
    def __call__(self, function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


class PlainDecorator(Protocol):
    """What ``session.setup(...)`` and ``session.teardown(...)`` with options return."""

    def __call__(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...


class Functional:
    """What of a session makes functions run on its board. Until one does, nothing of it is loaded."""

    _standing: Standing
    _operations: Operations
    _evaluations: Evaluations
    _setups: Setups | None = None

    @property
    def _functions(self) -> Setups:
        """The session's setups and teardowns, and its calls."""
        if self._setups is None:
            from belay_py.session.functions.calling import Calls  # noqa: PLC0415  loaded only when used
            from belay_py.session.functions.setups import Setups  # noqa: PLC0415  the same

            made = Setups(Calls(self._standing, self._evaluations), self._operations)
            # In one step: the blocking face registers functions in its callers' threads.
            return self.__dict__.setdefault("_setups", made)  # type: ignore[no-any-return]  # it is what was made
        return self._setups

    @property
    def _has_teardowns(self) -> bool:
        return self._setups is not None and self._functions.has_teardowns

    @overload
    def task(  # type: ignore[overload-overlap]  # a generator function is a function
        self, function: Callable[P, Iterator[R]], /
    ) -> RemoteGenerator[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> RemoteFunction[P, R]: ...

    @overload
    def task(
        self,
        /,
        *,
        imports: str | Iterable[str] = (),
        timeout: float | None = None,
        name: str | None = None,
        idempotent: bool = False,
    ) -> Decorator: ...

    def task(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function run on the board: a decorator, with or without options, for functions and for `Task`.

        Its source is sent once in each life of the interpreter. ``imports`` are modules, or import statements, that it
        needs; ``timeout`` is seconds for a call; ``name`` is one that it also gets in the board's main namespace;
        ``idempotent`` says that the option ``retry`` may run it twice. Raises `InvalidCode` for what cannot be sent.
        """
        return self._remote(function, "task", options)

    @overload
    def setup(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...

    @overload
    def setup(
        self, /, *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
    ) -> PlainDecorator: ...

    def setup(self, function: Any = None, /, **options: Any) -> Any:
        """Let a function without arguments run on the board after each connect and each reset, before any task.

        A decorator with the options of `task`. What it makes ``global`` is there for tasks. On a session that is
        connected, it runs before the next task. Raises `InvalidCode`.
        """
        return self._remote(function, "setup", options)

    @overload
    def teardown(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...

    @overload
    def teardown(
        self, /, *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
    ) -> PlainDecorator: ...

    def teardown(self, function: Any = None, /, **options: Any) -> Any:
        """Let a function without arguments run on the board before `disconnect` and `close`, if the board is there.

        A decorator with the options of `task`. All of them together have 5 s; what fails is logged. Raises
        `InvalidCode`.
        """
        return self._remote(function, "teardown", options)

    def _remote(self, function: Any, role: Role, options: dict[str, Any]) -> Any:
        from belay_py.session.functions.remote import RemoteFunction, RemoteGenerator  # noqa: PLC0415  as above
        from belay_py.session.functions.tasks import Task, task_of  # noqa: PLC0415  as above

        if function is None:
            return lambda given: self._remote(given, role, options)
        task = task_of(function)
        if task is None:
            task = Task(function, role=role, **options)
        elif options:
            raise SettingsError(
                f"{task.name} is a task already; give {', '.join(options)} where it is made one, or use within() for "
                "another timeout"
            )
        elif role not in ("task", task.role):
            task = task.as_a(role)
        if task.role != "task":
            self._functions.add(task)
        return (RemoteGenerator if task.is_generator else RemoteFunction)(self, task)  # type: ignore[arg-type]  # it is a session
