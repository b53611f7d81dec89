"""What a service depends on in place of a manager, so that a test can give it a board of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from belay_py.session.session import DeviceSession


class DeviceSessionFactory(Protocol):
    """Anything that gives the session of a device for the length of an ``async with`` block.

    ``manager.lease`` is one. So is ``lambda device_id, *, timeout=None: DeviceSession("virtual:")``, for a test.
    """

    def __call__(
        self, device_id: str, /, *, timeout: float | None = None
    ) -> AbstractAsyncContextManager[DeviceSession]:
        """Return what yields the session of the device of that name, within ``timeout`` seconds if that is not None.

        Entering raises `BelayError`: of a manager, what its ``lease`` raises; of a session, what ``connect`` raises.
        """
        ...
