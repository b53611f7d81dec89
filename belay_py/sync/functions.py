"""What of the blocking `DeviceSession` makes functions run on its board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, overload

from belay_py.session.functions import remote as asynchronous
from belay_py.session.functions.tasks import BoundTask, P, R, Role
from belay_py.sync.face import Face

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator

    from belay_py.session.session import DeviceSession


class _End:
    """What stands for the end of a generator, which may yield None."""


async def _next(values: AsyncGenerator[Any]) -> Any:
    return await anext(values, _End)


class RemoteFunction(BoundTask, Generic[P, R]):
    """See `belay_py.RemoteFunction`."""

    def __init__(self, face: Face, remote: asynchronous.RemoteFunction[P, R]) -> None:
        super().__init__(remote.task)
        self._face = face
        self._remote = remote

    def __repr__(self) -> str:
        return f"<sync {repr(self._remote)[1:]}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it on the board and return what it returns; see `belay_py.RemoteFunction`."""
        return self._face._run(self._remote(*args, **kwargs))  # noqa: SLF001  the same face

    def within(self, timeout: float | None) -> RemoteFunction[P, R]:
        """See `belay_py.RemoteFunction.within`."""
        return RemoteFunction(self._face, self._remote.within(timeout))


class RemoteGenerator(BoundTask, Generic[P, R]):
    """See `belay_py.RemoteGenerator`."""

    def __init__(self, face: Face, remote: asynchronous.RemoteGenerator[P, R]) -> None:
        super().__init__(remote.task)
        self._face = face
        self._remote = remote

    def __repr__(self) -> str:
        return f"<sync {repr(self._remote)[1:]}"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[R]:
        """Return its values; see `belay_py.RemoteGenerator`. Leaving the loop early closes it on the board."""
        return self._values(self._remote(*args, **kwargs))

    def _values(self, values: AsyncGenerator[R]) -> Generator[R]:
        face = self._face
        try:
            while (value := face._run(_next(values))) is not _End:  # noqa: SLF001  the same face
                yield value
        finally:
            face._close_pieces(values)  # noqa: SLF001  the same face

    def within(self, timeout: float | None) -> RemoteGenerator[P, R]:
        """See `belay_py.RemoteGenerator.within`."""
        return RemoteGenerator(self._face, self._remote.within(timeout))


class Decorator(Protocol):
    """What ``session.task(...)`` with options returns."""

    @overload
    def __call__(self, function: Callable[P, Iterator[R]], /) -> RemoteGenerator[P, R]: ...  # type: ignore[overload-overlap]  # a generator function is a function

    @overload
    def __call__(self, function: Callable[P, R], /) -> RemoteFunction[P, R]: ...


class PlainDecorator(Protocol):
    """What ``session.setup(...)`` and ``session.teardown(...)`` with options return."""

    def __call__(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...


class Functional(Face):
    """Functions on a session's board: each method is its asynchronous twin's."""

    _session: DeviceSession

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
        """See `belay_py.DeviceSession.task`."""
        return self._remote(function, "task", options)

    @overload
    def setup(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...

    @overload
    def setup(
        self, /, *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
    ) -> PlainDecorator: ...

    def setup(self, function: Any = None, /, **options: Any) -> Any:
        """See `belay_py.DeviceSession.setup`."""
        return self._remote(function, "setup", options)

    @overload
    def teardown(self, function: Callable[[], R], /) -> RemoteFunction[[], R]: ...

    @overload
    def teardown(
        self, /, *, imports: str | Iterable[str] = (), timeout: float | None = None, name: str | None = None
    ) -> PlainDecorator: ...

    def teardown(self, function: Any = None, /, **options: Any) -> Any:
        """See `belay_py.DeviceSession.teardown`."""
        return self._remote(function, "teardown", options)

    def _remote(self, function: Any, role: Role, options: dict[str, Any]) -> Any:
        if function is None:
            return lambda given: self._remote(given, role, options)
        remote = self._session._remote(function, role, options)  # noqa: SLF001  the two faces of one session
        if isinstance(remote, asynchronous.RemoteGenerator):
            return RemoteGenerator(self, remote)
        return RemoteFunction(self, remote)
