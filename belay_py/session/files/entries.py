"""What a board's file system has in it, as it is told: entries of folders, and room."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a folder of the board.

    There are no dates in it: most boards forget the time when they lose power, and ports count from different years.
    """

    name: str
    path: str
    """How to reach it: what was asked for, and what is below it."""
    is_dir: bool
    size: int
    """In bytes; 0 for folders."""


@dataclass(frozen=True, slots=True)
class Space:
    """The room of a file system, in bytes."""

    total: int
    used: int
    free: int


def join(folder: str, name: str) -> str:
    """Return the path of what a folder has in it. ``""`` is the current folder."""
    return f"{folder}{name}" if folder in ("", "/") else f"{folder.rstrip('/')}/{name}"
