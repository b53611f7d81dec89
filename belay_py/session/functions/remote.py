"""Tasks on the board of one session: what `DeviceSession.task` returns, and the decorators themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from belay_py.session.functions.generators import Values
from belay_py.session.functions.tasks import BoundTask, P, R, Role, Task, task_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator

    from belay_py.options import DeviceSessionOptions
    from belay_py.session.errands import Errand
    from belay_py.session.functions.setups import Setups

_T = TypeVar("_T")


class HasErrands(Protocol):
    """A session, as its remote functions see it."""

    options: DeviceSessionOptions
    _functions: Setups

    async def _errand(
        self, work: Callable[[Errand], Awaitable[_T]], timeout: float | None, *, idempotent: bool = False
    ) -> _T: ...


class Remote(BoundTask):
    """A task on the board of one session."""

    def __init__(self, session: HasErrands, task: Task[Any, Any]) -> None:
        super().__init__(task)
        self.session = session

    def __repr__(self) -> str:
        return f"<{self.task!r} on {self.session!r}>"

    @property
    def seconds(self) -> float:
        """How long a call may take, waiting for other operations included."""
        timeout = self.task.timeout
        return self.session.options.operation_timeout if timeout is None else timeout


class RemoteFunction(Remote, Generic[P, R]):
    """A function that runs on a board."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it there and return what it returns, as its return annotation says.

        Raises `InvalidArguments` before anything is sent, and what `DeviceSession.evaluate` raises. Where the board has
        restarted unseen, which is noticed before the function runs, the setups run and the call is sent anew.
        """
        task, setups = self.task, self.session._functions  # noqa: SLF001  the parts of one session
        arguments, validate = task.arguments(args, kwargs), task.validate

        async def work(errand: Errand) -> Any:
            async def call() -> Any:
                if task.role == "task":
                    await setups.prepare(errand)
                return await setups.calls.value(errand, task, arguments)

            return await setups.calls.healed(errand, call)

        value = await self.session._errand(work, self.seconds, idempotent=task.idempotent)  # noqa: SLF001  as above
        return value if validate is None else validate(value)  # type: ignore[no-any-return]  # it says what it is

    def within(self, timeout: float | None) -> RemoteFunction[P, R]:
        """Return the same with another timeout, in seconds; None takes ``operation_timeout``."""
        return RemoteFunction(self.session, self.task.within(timeout))


class RemoteGenerator(Remote, Generic[P, R]):
    """A generator function that runs on a board."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R]:
        """Return its values, each of which the board computes when it is asked for; ``timeout`` is for one value.

        Leaving the loop early closes the generator on the board, best with ``contextlib.aclosing``. Raises
        `InvalidArguments` at once, what a `RemoteFunction` raises, and `BoardWasReset` when the board has restarted
        between two values.
        """
        arguments = self.task.arguments(args, kwargs)
        _ = self.task.validate  # an annotation that is none is told before anything is sent
        return Values(self, arguments).stream()

    def within(self, timeout: float | None) -> RemoteGenerator[P, R]:
        """Return the same with another timeout for each value, in seconds; None takes ``operation_timeout``."""
        return RemoteGenerator(self.session, self.task.within(timeout))


class Decorator(Protocol):
    """What ``session.task(...)`` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Iterator[R]], /) -> RemoteGenerator[P, R]: ...  # type: ignore[overload-overlap]  # a generator function is a function

    @overload
    def __call__(self, function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


class Functional:
    """What of a session makes functions run on its board."""

    _functions: Setups

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

    def setup(self, function: Any = None, /, **options: Any) -> Any:
        """Let a function without arguments run on the board after each connect and each reset, before any task.

        A decorator with the options of `task`. What it makes ``global`` is there for tasks. On a session that is
        connected, it runs before the next task. Raises `InvalidCode`.
        """
        return self._remote(function, "setup", options)

    def teardown(self, function: Any = None, /, **options: Any) -> Any:
        """Let a function without arguments run on the board before `disconnect` and `close`, if the board is there.

        A decorator with the options of `task`. All of them together have 5 s; what fails is logged. Raises
        `InvalidCode`.
        """
        return self._remote(function, "teardown", options)

    def _remote(self, function: Any, role: Role, options: dict[str, Any]) -> Any:
        if function is None:
            return lambda given: self._remote(given, role, options)
        task = task_of(function) or Task(function, role=role, **options)
        if task.role != "task":
            self._functions.add(task)
        return (RemoteGenerator if task.is_generator else RemoteFunction)(self, task)  # type: ignore[arg-type]  # it is a session
