"""Looking at the board's folders and changing them."""

from __future__ import annotations

from belay_py.session.files.base import OfSession


class Tree(OfSession):
    """The board's folders."""
