"""`Files`: what `DeviceSession.files` is."""

from __future__ import annotations

from belay_py.session.files.sync import Syncing


class Files(Syncing):
    """The files of one session's board. Paths are the board's: text, with slashes, from ``/`` or its current folder."""
