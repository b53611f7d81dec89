"""`Files`: what `DeviceSession.files` is."""

from __future__ import annotations

from belay_py.session.files.streams import Streaming
from belay_py.session.files.sync import Syncing


class Files(Syncing, Streaming):
    """The files of one session's board. Paths are the board's: text, with slashes, from ``/`` or its current folder."""
