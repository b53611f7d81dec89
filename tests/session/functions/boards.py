"""Sessions on boards that hold nothing yet, and a look at what they send."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from belay_py import DeviceSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def fresh(port: str, **options: Any) -> AsyncIterator[DeviceSession]:
    """A session in the first moments of a life of its board's interpreter."""
    session = DeviceSession(port, **options)
    await session.connect(reset="soft")
    async with session:
        yield session


def executions(session: DeviceSession) -> list[bytes]:
    """The code of every execution from now on."""
    sent: list[bytes] = []
    run_begun = session._operations.run_begun

    async def spy(channel: Any, source: bytes, *args: Any, **kwargs: Any) -> Any:
        sent.append(source)
        return await run_begun(channel, source, *args, **kwargs)

    session._operations.run_begun = spy  # type: ignore[method-assign]  # it passes all on
    return sent
