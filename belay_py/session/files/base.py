"""What all that `Files` does is built on: the session whose board it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from belay_py.session.session import DeviceSession


class OfSession:
    """Something that a session does on its board in errands."""

    def __init__(self, session: DeviceSession) -> None:
        self._session = session
