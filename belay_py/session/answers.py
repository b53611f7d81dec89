"""What boards answer to this package's own questions: a dict that they printed last, of which nothing is believed.

A number may follow it, a hash of its text: a byte that a noisy wire changes is not to make another board of it.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

from belay_py.session.parser import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = "type | tuple[type, ...] | list[type]"
"""What an answer is: of a type; a tuple of these types; or, written as a list, a tuple of any length of one type."""


def read(output: bytes, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the answers; those that ``kinds`` does not name are whatever they are, and each may be missing or None.

    Raises `ValueError` for what is no dict of Python's literals, or has another kind of answer.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what noise looks like to Python, which tells a user nothing
            answers = literal(_checked(output.splitlines()[-1].decode()))
    except (LookupError, TypeError, SyntaxError, MemoryError, RecursionError, OverflowError) as error:
        raise ValueError(f"no literal ({type(error).__name__})") from error
    if not isinstance(answers, dict):
        raise ValueError("no dict")  # noqa: TRY004  of what a board says all is a value, not a caller's type
    for name, kind in kinds.items():
        if answers.get(name) is not None and not _is(kind, answers[name]):
            raise ValueError(f"{name!r} is something else")
    return answers


def hashed(text: str) -> int:
    """Return the hash of an answer's text, which fits the small integers of every board."""
    found = 0
    for character in text:
        found = (found * 31 + ord(character)) % 16777213
    return found


def _checked(line: str) -> str:
    """Return the answer of a line without its hash. Raises `ValueError` where that is another one's."""
    text, _, number = line.rpartition(" ")
    if not text.endswith("}"):
        return line  # no hash was sent
    if number != str(hashed(text)):
        raise ValueError("it was damaged on its way")
    return text


def _is(kind: Kind, value: object) -> bool:
    if isinstance(kind, type):
        return isinstance(value, kind)
    if not isinstance(value, tuple):
        return False
    if isinstance(kind, list):
        return all(isinstance(item, kind[0]) for item in value)
    return len(value) == len(kind) and all(map(isinstance, value, kind))
