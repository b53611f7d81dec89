"""The sessions of a manager, found by their names and by what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.lifecycle import DeviceSessionState
from belay_py.options import as_tags, check_device_id, check_text, require
from belay_py.options.checks import TIMEOUT, instance_of, or_none
from belay_py.session.observable import Observable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from belay_py.manager.pool import Pool
    from belay_py.session.session import DeviceSession

_STATE = or_none(instance_of(DeviceSessionState))


class Directory(Observable):
    """What there is in a manager."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._started = False

    def _begin(self) -> None:
        """Make the devices of the settings known, on the first use."""
        self._pool.require_here()
        if self._started:
            return
        self._started = True
        for key, options in self._pool.options.devices.items():
            self._pool.add(key, options, declared=True)

    def get(self, device_id: str) -> DeviceSession | None:
        """Return the session of that name, which counts as used now; None if there is none."""
        self._begin()
        check_device_id(device_id)
        member = self._pool.members.get(device_id)
        if member is None or member.session is None:
            return None
        self._pool.plan.touch(device_id, self._pool.time())
        return member.session

    def __getitem__(self, device_id: str) -> DeviceSession:
        """The session of that name, made if the settings have such a device. Raises `DeviceNotFound`."""
        self._begin()
        check_device_id(device_id)
        member = self._pool.member(device_id)
        self._pool.plan.touch(device_id, self._pool.time())
        return member.make_session()

    def __contains__(self, device_id: object) -> bool:
        return any(session.device_id == device_id for session in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[DeviceSession]:
        """The sessions, in the order in which their devices became known."""
        self._pool.require_process()
        return iter([member.session for member in self._pool.members.values() if member.session is not None])

    def ids(self) -> tuple[str, ...]:
        """The names of the sessions."""
        return tuple(session.device_id for session in self)

    def devices(self) -> tuple[str, ...]:
        """The names of all devices that are known, with a session or without."""
        self._begin()
        return tuple(self._pool.members)

    def sessions_by_last_used(self) -> list[DeviceSession]:
        """The sessions, those that were not used for longest first."""
        places = self._pool.plan.places
        return sorted(self, key=lambda session: places[session.device_id].last_used)

    def idle_sessions(self, older_than: float = 0.0) -> list[DeviceSession]:
        """The connected sessions that nobody has and nobody used for ``older_than`` seconds, longest unused first.

        Raises `SettingsError` where that is no number of seconds.
        """
        require("older_than", older_than, TIMEOUT)
        now, places = self._pool.time(), self._pool.plan.places
        return [
            session
            for session in self.sessions_by_last_used()
            if (place := places[session.device_id]).open
            and place.holder is None
            and now - place.last_used >= older_than
        ]

    def find(
        self,
        *,
        tags: Iterable[str] = (),
        port: str | None = None,
        identity: str | None = None,
        state: DeviceSessionState | None = None,
    ) -> list[DeviceSession]:
        """The sessions that fit all that is named. ``identity`` is a board's ``unique_id``. Raises `SettingsError`."""
        wanted = as_tags(tags)
        check_text("port", port)
        check_text("identity", identity)
        require("state", state, _STATE)
        return [
            session
            for session in self
            if wanted <= session.options.tags
            and port in (None, session.options.port)
            and state in (None, session.state)
            and (identity is None or self._pool.members[session.device_id].whereabouts.known.unique_id == identity)
        ]
