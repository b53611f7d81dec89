"""A board's files: moving them, looking at them, keeping a folder of the host and one of the board alike."""

from belay_py.session.files.entries import Entry, Space
from belay_py.session.files.files import Files
from belay_py.session.files.ignoring import DEFAULT_IGNORE
from belay_py.session.files.mpy import compile_mpy
from belay_py.session.files.plans import SyncFile, SyncPlan
from belay_py.session.files.streams import RemoteFile

__all__ = ["DEFAULT_IGNORE", "Entry", "Files", "RemoteFile", "Space", "SyncFile", "SyncPlan", "compile_mpy"]
