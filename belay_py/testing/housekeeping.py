"""The code that a session runs for its own ends, which a scripted board knows and answers as MicroPython would."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from belay_py.protocol import ask_life
from belay_py.session import info, vitals
from belay_py.session.answers import hashed
from belay_py.testing.steps import HardReset, Raise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from belay_py.testing.steps import Step

FACTS: Mapping[str, object] = {
    "n": "micropython",
    "v": (1, 29, 0),
    "m": "A board by script",
    "p": "scripted",
    "x": 11014,
    "e": "little",
    "u": "e6614c311b6a4b2a",
    "h": (200_000, 30_000),
    "f": 64,
    "b": True,
}
"""What a scripted board says of itself, by the letters of `session.info`."""

VITALS: Mapping[str, object] = {"a": 40_000, "s": (1_048_576, 524_288)}
"""How a scripted board says it is, by the letters of `session.vitals`."""

_COLLECT = rb"__import__\('gc'\)\.collect\(\)"
_IS_THERE_ROOM = re.compile(_COLLECT + rb"\nbytearray\(\d+\)\n" + _COLLECT)
_RESET_CHIP = b"__import__('machine').reset()"
_GREETING = re.compile(rb"print\('(\w+)'\+'(\w+)'\)")
_FENCE = re.compile(rb"\{\}\['([\w-]+)'\]")
_NAME = "a-life"
_ABOUT = re.compile(re.escape(info.code(_NAME)).replace(re.escape(_NAME).encode(), rb"(\w+)"))
_PREPARE = re.compile(re.escape(ask_life(_NAME)).replace(re.escape(_NAME).encode(), rb"(\w+)"))
_MARKER = re.compile(rb"\n?_q\(b'([\w-]+)'\)\Z")


def split_marker(code: bytes) -> tuple[bytes, bytes]:
    """Return code without the line that marks its end, and the marker, empty if there is none."""
    match = _MARKER.search(code)
    return (code[: match.start()], match[1]) if match else (code, b"")


class Housekeeping:
    """What one board answers to it. ``life`` is the name of this life of the interpreter."""

    def __init__(self, *, marks: bool) -> None:
        self.marks = marks
        """Whether the board can mark the end of a response: it has ``sys.stdout``."""
        self.life: str | None = None

    def asks_about(self, code: bytes) -> bool:
        """Whether code is the question what the board is."""
        return _ABOUT.fullmatch(code) is not None

    def answer(self, code: bytes) -> tuple[Step, ...] | None:
        """Return what the board does with code, or None if it is not a session's own."""
        if greeting := _GREETING.fullmatch(code):
            return (greeting[1] + greeting[2] + b"\r\n",)
        if fence := _FENCE.fullmatch(code):
            return (Raise("KeyError", fence[1].decode()),)
        if code == vitals.CODE:
            return (f"{VITALS!r}\n",)
        if code == _RESET_CHIP or _IS_THERE_ROOM.fullmatch(code):
            return (HardReset(),) if code == _RESET_CHIP else ()  # there always is room
        return self._answer_with_life(code)

    def _answer_with_life(self, code: bytes) -> tuple[Step, ...] | None:
        if about := _ABOUT.fullmatch(code):
            facts = repr(dict(FACTS, l=self.life) if self._live(about[1]) else FACTS)
            return (f"{facts} {hashed(facts)}\n",)
        if named := _PREPARE.fullmatch(code):
            return (f"{self.life}\n",) if self._live(named[1]) else (Raise("AttributeError", "stdout"),)
        return None

    def _live(self, name: bytes) -> bool:
        """Be called ``name`` from now on, unless this life has a name; return whether it has one now."""
        if self.life is None and self.marks:
            self.life = name.decode()
        return self.life is not None
