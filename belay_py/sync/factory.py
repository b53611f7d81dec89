"""What a blocking service depends on in place of a manager, so that a test can give it a board of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from belay_py.sync.session import DeviceSession


class DeviceSessionFactory(Protocol):
    """The blocking `belay_py.DeviceSessionFactory`, for ``with`` blocks. A blocking manager's ``lease`` is one."""

    def __call__(self, device_id: str, /, *, timeout: float | None = None) -> AbstractContextManager[DeviceSession]:
        """Return what yields the session of the device of that name; see `belay_py.DeviceSessionFactory`."""
        ...
