"""Which files a sync leaves alone: patterns as in a ``.gitignore``.

A pattern without a slash fits a name anywhere, one with a slash the path from the folder on; at its end a slash says
that it is for folders. ``*`` and ``?`` stand for what is in one name, ``**`` for any folders, ``[...]`` for one of some
characters. ``!`` takes back what an earlier pattern said. What is in a folder that is left alone is left alone too.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from belay_py.errors import SettingsError
from belay_py.text import shown

DEFAULT_IGNORE: Final = (
    "__pycache__/",
    "*.pyc",
    ".git/",
    ".hg/",
    ".svn/",
    ".venv/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".pytest_cache/",
    ".idea/",
    ".vscode/",
    ".DS_Store",
    "Thumbs.db",
    "System Volume Information/",
    ".Trashes/",
    ".fseventsd/",
)
"""What is on nobody's mind when a folder is sent: what tools and systems leave behind, on the host and on the board."""


class _Rule(NamedTuple):
    parts: tuple[str, ...]
    folders_only: bool
    takes_back: bool


class Ignore:
    """A list of patterns, after the default ones. Raises `SettingsError` for what is no pattern."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        if isinstance(patterns, str) or not isinstance(patterns, Iterable):
            raise SettingsError(f"ignore is {shown(patterns)}; it must be several patterns: [{shown(patterns)}]")
        self._rules = [_rule(pattern) for pattern in (*DEFAULT_IGNORE, *patterns)]

    def fits(self, path: str, *, is_dir: bool) -> bool:
        """Whether a path, from the folder on and with slashes, is to be left alone, by itself or with its folder."""
        folder = path.rpartition("/")[0]
        return self._fits(path, is_dir) or bool(folder and self.fits(folder, is_dir=True))

    def _fits(self, path: str, is_dir: bool) -> bool:
        names = tuple(path.split("/"))
        for rule in reversed(self._rules):
            if (is_dir or not rule.folders_only) and _match(rule.parts, names):
                return not rule.takes_back
        return False


def _rule(pattern: str) -> _Rule:
    if not isinstance(pattern, str) or not pattern.strip("/!"):
        raise SettingsError(f"{shown(pattern)} in ignore is no pattern; write a name, such as '*.md' or 'tests/'")
    body = pattern.removeprefix("!")
    path = body.rstrip("/")
    parts = path.lstrip("/").split("/") if "/" in path else ["**", path]
    return _Rule(tuple(parts), body.endswith("/"), body != pattern)


def _match(parts: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_match(parts[1:], names[start:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _match(parts[1:], names[1:])
