"""Tasks on the board of one session: what `DeviceSession.task` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from belay_py.session.functions.generators import Values
from belay_py.session.functions.tasks import BoundTask, P, R, Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from belay_py.options import DeviceSessionOptions
    from belay_py.session.errands import Errand
    from belay_py.session.functions.setups import Setups

_T = TypeVar("_T")


class HasErrands(Protocol):
    """A session, as its remote functions see it."""

    options: DeviceSessionOptions

    @property
    def _functions(self) -> Setups: ...

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
