"""Which session something is about, as the records of the log carry it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_KEYS: Final = ("session", "device", "generation")


class About(Mapping[str, object]):
    """The attributes that a record of the log gets as its ``extra``: ``session``, ``device`` and ``generation``.

    One for each session, made with it: it is read when a record is made, so a line that nobody wants costs no more for
    it than the look at an attribute.
    """

    __slots__ = ("device_id", "generation", "session_id")

    def __init__(self, session_id: str = "", device_id: str = "", generation: int = 0) -> None:
        self.session_id = session_id
        """Empty where a device has no session at the moment."""
        self.device_id = device_id
        self.generation = generation
        """Which connection it is; 0 before the first one."""

    def __getitem__(self, key: str) -> object:
        if key == "session":
            return self.session_id
        if key == "device":
            return self.device_id
        if key == "generation":
            return self.generation
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)


def about(session: object) -> About:
    """Return that of a session, or of none."""
    standing = getattr(session, "_standing", None)
    found: object = None if standing is None else standing.counters.about
    return found if isinstance(found, About) else About()
