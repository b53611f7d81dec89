"""A board's files: moving them, looking at them, keeping a folder of the host and one of the board alike."""

from belay_py.session.files.files import Files

__all__ = ["Files"]
