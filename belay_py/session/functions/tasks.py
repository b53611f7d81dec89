"""`Task`: a function of the host that is meant for boards, whichever those will be."""

from __future__ import annotations

import copy
import functools
import inspect
import keyword
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from belay_py.errors import BelayError, InvalidCode, SettingsError
from belay_py.session.functions import arguments, source
from belay_py.session.functions.definition import Definition, define, import_statements
from belay_py.session.functions.results import returned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

P = ParamSpec("P")
R = TypeVar("R")
Role = Literal["task", "setup", "teardown"]


class OnBoard(Protocol[P]):
    """A task at an instance of `Board`, to type checkers. What a call returns depends on the session."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Call it on the board."""

    def within(self, timeout: float | None) -> OnBoard[P]:
        """Return the same with another timeout."""


class Task(Generic[P, R]):
    """A function for boards, as `belay_py.task` makes it. Give it to the ``task`` of a session to call it there.

    In a class of `Board`, it is a method of that class's instances.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        role: Role = "task",
        imports: str | Iterable[str] = (),
        timeout: float | None = None,
        name: str | None = None,
        idempotent: bool = False,
    ) -> None:
        if name is not None and not (isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)):
            raise SettingsError(f"name is {name!r}; it must be one that a variable of the board can have")
        self.function = source.plain(function)
        self.name = self.function.__name__
        self.role: Role = role
        self.timeout = timeout
        self.idempotent = idempotent
        self.is_generator = inspect.isgeneratorfunction(self.function)
        self.signature = inspect.signature(self.function)
        self._bound = name
        self._imports = import_statements(imports)
        self._source = source.read(self.function)
        self._looked_up = source.loaded_globals(self.function)
        self._definition: Definition | None = None
        self._needed: dict[str, Definition] = {}
        if role != "task":
            self._require_no_arguments()
        source.refuse_host_variables(self.function, self._is_sent)
        functools.update_wrapper(self, self.function)

    def __repr__(self) -> str:
        return f"<{self.role} {self.function.__qualname__}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Refuse: a `Task` is of no board. It has a signature for type checkers only."""
        raise BelayError(
            f"{self.name} runs on boards, and this is none's: session.task({self.name}) returns what calls it on one"
        )

    def __set_name__(self, owner: type, name: str) -> None:
        if next(iter(self.signature.parameters), None) == "self":
            raise InvalidCode(
                f"{self.function.__qualname__} has a parameter self, but functions for boards get none; leave it out"
            )

    @overload
    def __get__(self, instance: None, owner: type) -> Task[P, R]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> OnBoard[P]: ...

    def __get__(self, instance: object, owner: type) -> Task[P, R] | OnBoard[P]:
        remote: Callable[[Task[P, R]], OnBoard[P]] | None = getattr(instance, "_remote", None)  # `Board` has it
        return self if remote is None else remote(self)

    def within(self, timeout: float | None) -> Task[P, R]:
        """Return the same with another timeout: seconds for a call, or None for ``operation_timeout``."""
        other = copy.copy(self)
        other.timeout = timeout
        return other

    def as_a(self, role: Role) -> Task[P, R]:
        """Return the same as a setup or a teardown. Raises `InvalidCode` when it needs arguments or is a generator."""
        other = copy.copy(self)
        other.role = role
        other._require_no_arguments()  # noqa: SLF001  it is a copy of this
        return other

    @functools.cached_property
    def validate(self) -> Callable[[Any], Any] | None:
        """What turns results, or a generator's values, into what the annotation says."""
        return returned(self.function, of_generator=self.is_generator)

    def definition(self, callers: tuple[Task[Any, Any], ...] = ()) -> Definition:
        """Return what is sent to a board. The tasks that it calls are looked up each time, as Python does."""
        path = (*callers, self)
        needs = self._needs()
        if any(need in path for need in needs.values()):
            names = " and ".join(dict.fromkeys(task.name for task in path))
            raise InvalidCode(f"{names} call each other in a circle, which cannot be sent; make them one function")
        known = {name: need.definition(path) for name, need in needs.items()}
        if self._definition is None or self._needed != known:
            self._definition = define(
                self.name, self._bound, self.signature, self._source, imports=self._imports, needs=known
            )
            self._needed = known
        return self._definition

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the arguments of a call as source. Raises `InvalidArguments`."""
        return arguments.written(self.name, self.signature, args, kwargs)

    def explain(self, missing: str) -> str:
        """Say what a name is that the board does not have: a variable of the host's module, as far as is known."""
        if missing not in self.function.__globals__:
            return ""
        return (
            f"{missing} is a name of the host's {self.function.__module__}, which the board does not have; pass it as "
            "an argument, name its import (imports=...), or make it on the board in a setup"
        )

    def _needs(self) -> dict[str, Task[Any, Any]]:
        """Return the other tasks that the function calls, by the names by which it does."""
        found: dict[str, Task[Any, Any]] = {}
        for name in self._looked_up:
            task = task_of(self.function.__globals__.get(name))
            if task is not None and task.function is not self.function:
                found[name] = task
        for name, cell in zip(self.function.__code__.co_freevars, self.function.__closure__ or (), strict=True):
            try:
                task = task_of(cell.cell_contents)
            except ValueError:
                task = None
            if task is not None and task.function is not self.function:
                found[name] = task
            elif name != self.name:
                source.refuse_host_variables(self.function, self._is_sent)
        return found

    def _is_sent(self, value: object) -> bool:
        return value is self.function or task_of(value) is not None

    def _require_no_arguments(self) -> None:
        required = [it.name for it in self.signature.parameters.values() if it.default is it.empty]
        if required or self.is_generator:
            raise InvalidCode(
                f"{self.function.__qualname__} is a {self.role}, which is called without arguments and is no generator"
            )


class BoundTask:
    """What calls a task on the board of one session."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self.task = task
        functools.update_wrapper(self, task.function)  # type: ignore[arg-type]  # each subclass can be called


def task_of(value: object) -> Task[Any, Any] | None:
    """Return the task that a value is, or calls; None where it is neither."""
    if isinstance(value, BoundTask):
        return value.task
    return value if isinstance(value, Task) else None
