"""Asking the board what it has of a folder: in one execution where its memory is enough, else in several."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from belay_py.errors import ExecutionError
from belay_py.session.files.asking import ask, step_limit
from belay_py.session.files.board_code import COMPARE, LOOK, answers
from belay_py.session.files.entries import join
from belay_py.session.files.plans import FOLDER, NOTHING
from belay_py.session.files.tree import PORTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from belay_py.session.errands import Errand
    from belay_py.session.files.plans import Question
    from belay_py.session.info import BoardInfo

_T = TypeVar("_T")

_LEAST_ROOM, _MOST_ROOM = 1024, 32768
_SHARE = 16
"""Which part of the board's free heap a question may have: it is there as code, as text and as a list at once."""
_HASHED_PER_SECOND = 20_000  # bytes, by a slow board: software SHA-256 and a file system on SPI flash
_LOOKED_AT_PER_SECOND = 20  # files, by one whose file system looks names up one by one


class Comparing:
    """One look at what the board has below ``target``. ``timeout`` is that of the whole errand."""

    def __init__(self, errand: Errand, target: str, *, room: int, timeout: float | None, step: float) -> None:
        self._errand = errand
        self._target = target
        self._room = room
        self._timeout = timeout
        self._step = step

    async def run(self, questions: list[Question], *, others: bool) -> tuple[dict[str, str], list[tuple[str, bool]]]:
        """Return an answer for each name, and with ``others`` what else there is, with whether it is a folder.

        Raises `ExecutionError`.
        """
        said: dict[str, str] = {}
        more: list[tuple[str, bool]] = []
        left, most = questions, len(questions)
        while left:
            portion = next(portions(left[:most], self._room, _length))
            at_once = len(portion) == len(questions)
            try:
                told = await self._compare(portion, others=others and at_once)
            except ExecutionError as error:
                if error.type != "MemoryError" or len(portion) == 1:
                    raise
                most = len(portion) // 2
                continue
            said |= told[0]
            more += told[1]
            left = left[len(portion) :]
            if others and not left and not at_once and said[""] == FOLDER:
                more = await self._walk()
        return said, await self._without_twins(said, [about for about in more if about[0] not in said])

    async def _without_twins(self, said: dict[str, str], others: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
        """Return others without those that are what was asked about: to FAT ``A`` and ``a`` are the same file."""
        twins = {name.casefold(): name for name, answer in said.items() if answer != NOTHING}
        if not any(name.casefold() in twins for name, _ in others):
            return others
        listed = {name for name, _ in await self._walk()}
        return [about for about in others if twins.get(about[0].casefold(), about[0]) in listed]

    async def _compare(self, portion: list[Question], *, others: bool) -> tuple[dict[str, str], list[tuple[str, bool]]]:
        work = sum(int(question.size or 0) for question in portion) / _HASHED_PER_SECOND
        work += len(portion) / _LOOKED_AT_PER_SECOND
        limit = self._step + work if self._timeout is None else step_limit(self._timeout)
        result = await ask(self._errand, COMPARE, "cmp", self._target, _asked(portion), others, timeout=limit)
        told = answers(result)
        said = "/".join(about[0] for about in told if len(about) == 1 and about[0]).split("/")
        return dict(zip((question.name for question in portion), said, strict=False)), [
            (about[0], about[1]) for about in told if len(about) == 2
        ]

    async def _walk(self) -> list[tuple[str, bool]]:
        """Return all that is below the target: its names are too many to be told apart on the board."""
        found: list[tuple[str, bool]] = []
        waiting, most, folder = [self._target], PORTION, ""
        start = len(join(self._target, ""))
        while waiting:
            try:
                result = await ask(self._errand, LOOK, "walk", waiting, most, timeout=step_limit(self._timeout))
            except ExecutionError as error:
                if error.type != "MemoryError" or most == 1:
                    raise
                most //= 2
                continue
            *entries, (waiting, _) = answers(result)
            for about in entries:
                if len(about) == 1:
                    [folder] = about
                else:
                    found.append((join(folder, about[0])[start:], about[1]))
        return found


def room(info: BoardInfo) -> int:
    """Return how many bytes of names one execution on a board may have."""
    return min(max(_LEAST_ROOM, info.heap.free // _SHARE if info.heap else 0), _MOST_ROOM)


def portions(items: Iterable[_T], most: int, length: Callable[[_T], int]) -> Iterator[list[_T]]:
    """Yield the items in lists of no more than ``most`` bytes, but for items that are larger themselves."""
    portion: list[_T] = []
    size = 0
    for item in items:
        size += length(item)
        if portion and size > most:
            yield portion
            portion, size = [], length(item)
        portion.append(item)
    if portion:
        yield portion


def _asked(portion: Iterable[Question]) -> str:
    """Return what is asked, as `board_code` tells."""
    words = []
    before = ""
    for question in portion:
        # Of ASCII only: boards without Unicode count bytes.
        alike = takewhile(
            lambda pair: pair[0] == pair[1] and pair[0].isascii(), zip(before, question.name, strict=False)
        )
        shared = sum(1 for _ in alike)
        words += [f"{shared},{question.name[shared:]}", question.size]
        before = question.name
    return "//".join(words)


def _length(question: Question) -> int:
    return len(question.name.encode()) + len(question.size) + 4
