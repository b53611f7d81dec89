"""Moving files between the host and the board."""

from __future__ import annotations

from belay_py.session.files.base import OfSession


class Transfers(OfSession):
    """Putting files on the board and getting them from there."""
