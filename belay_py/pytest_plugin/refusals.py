"""Why a test has no board, in words, and whether that skips it or is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

_ADVICE = "plug one in, name one with --belay-port, or use --belay-port virtual:"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one board was not given."""

    board: str
    kind: Literal["unfit", "busy", "given", "missing", "lost"]
    words: str
    may_come_back: bool = False
    """Whether another look costs next to nothing, and may find the board."""

    def __str__(self) -> str:
        words = "was lost: " + self.words if self.kind == "lost" else self.words
        return words if self.board in words and self.kind != "lost" else f"{self.board} {words}"


def give_up(refusals: Sequence[Refusal], *, require: bool, found: int, count: int) -> NoReturn:
    """End a test that gets no board.

    A board that does not fit is a reason to skip a test, and so is one that is absent, unless boards are required. A
    board that is in use is an error: it could have been tested.
    """
    kinds = {refusal.kind for refusal in refusals}
    message = "; ".join(map(str, refusals)) or (_ADVICE if found else f"there is none: {_ADVICE}")
    if "busy" in kinds:
        pytest.fail(f"belay: no board was free in time: {message}", pytrace=False)
    if require and (not refusals or kinds & {"missing", "lost"}):
        pytest.fail(f"belay: no board, and --belay-require: {message}", pytrace=False)
    if found:
        pytest.skip(f"belay: {found} of {count} boards: {message}")
    what = "no board that fits" if kinds & {"unfit", "given"} else "no board"
    pytest.skip(f"belay: {what}: {message}")
