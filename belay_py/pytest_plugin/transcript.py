"""What a board was told and what it said, for a person, from the trace of its wire."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from belay_py.errors import BelayError
from belay_py.session import values
from belay_py.text import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST: Final = 20
"""Executions that are shown, the latest ones."""
_LONGEST: Final = 4096
"""Characters of one of them: its beginning, and more of its end, where a traceback is."""
_BEGINNING: Final = 1024
_BEGIN: Final = b"\x05A\x01"
# The last line of code marks the end of its own output, for the session (see `belay_py.protocol`).
_MARK: Final = re.compile(rb"\n?_q\(b'([^']*)'\)\Z")
# Raw-paste mode granted, refused, unknown; in front of it may be what a program said that was interrupted for it.
_ANSWER: Final = re.compile(rb"R\x01..\x01*\x04?|(?:R\x00|raw REPL; CTRL-B to exit\r\n)>OK", re.DOTALL)
_VALUE: Final = re.compile(rb"_belay_v\('([0-9a-f]+)',\((.*)\)\)", re.DOTALL)
# Proofs of the prompt, fences, helpers that are sent once, the files' own code: none of it is the test's.
_OURS: Final = re.compile(rb"print\('[0-9a-f]+'\+'[0-9a-f]'\)\Z|\{\}\['|exec\(r'''")
_OUR_NAMES: Final = b"_belay_"
# What MicroPython's REPL says of itself (shared/runtime/pyexec.c), beside what the board's programs say.
_REPL: Final = re.compile(
    rb"(>>> ?|>|OK|MPY: soft reboot|raw REPL; CTRL-B to exit|MicroPython v.*|Type \"help\(\)\" for more information\.)*"
)
# ECMA-48: control sequences, and strings such as a window's title; a log is read in files and web pages too.
_ESCAPES: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))}


class Execution(NamedTuple):
    """Code, and what came back: its output and its traceback. Without code: what the board said of its own accord."""

    code: str
    output: str
    traceback: str

    def __str__(self) -> str:
        lines = self.code.split("\n") if self.code else []
        told = "\n".join(f"{'...' if number else '>>>'} {line}" for number, line in enumerate(lines))
        whole = "\n".join(part.rstrip("\n") for part in (told, self.output, self.traceback) if part)
        return _ESCAPES.sub("", whole).translate(_CONTROLS)


def transcript(trace: bytes) -> str:
    """Return the latest executions of a trace, the oldest of them first."""
    found = [*executions(trace)]
    shown = [str(one) for one in found[-_MOST:]]
    if len(found) > _MOST:
        shown.insert(0, f"({len(found) - _MOST} executions before)")
    return "\n".join(map(_shortened, shown))


def _shortened(text: str) -> str:
    left_out = len(text) - _LONGEST
    if left_out <= 0:
        return text
    return f"{text[:_BEGINNING]}...\n({left_out} characters)\n...{text[_BEGINNING - _LONGEST :]}"


def executions(trace: bytes) -> Iterator[Execution]:
    """Yield what was executed, without what the session has done for itself."""
    code: bytearray | None = None
    said = bytearray()
    for sender, data in (*_pieces(trace), ("host", _BEGIN)):
        if sender == "board":
            said += data
            continue
        begin = data.find(_BEGIN)
        if begin < 0:
            if code is not None and b"\x04" not in code:
                code += data  # another window of the same code
            continue
        answer = _Answer.of(bytes(said))
        if unasked := _unasked(answer.before):
            yield unasked
        if code is not None and (found := _read(bytes(code), answer)) is not None:
            yield found
        if unasked := _unasked(answer.after):
            yield unasked
        code, said = bytearray(data[begin + len(_BEGIN) :]), bytearray()


def _pieces(trace: bytes) -> Iterator[tuple[str, bytes]]:
    for line in trace.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a killed process has cut short
            continue
        if "from" in entry:
            yield entry["from"], entry["data"].encode("latin-1")
        elif entry.get("event") == "lost":
            yield "board", f"\n(the link was lost: {entry['reason']})".encode()


class _Answer(NamedTuple):
    """What a board said from one execution to the next."""

    before: bytes
    output: bytes
    traceback: bytes
    after: bytes

    @classmethod
    def of(cls, said: bytes) -> _Answer:
        begin = _ANSWER.search(said)
        if begin is None:  # it was no raw REPL, or the link was lost
            return cls(b"", said, b"", b"")
        output, _, rest = said[begin.end() :].partition(b"\x04")
        traceback, _, after = rest.partition(b"\x04")
        return cls(said[: begin.start()], output, traceback, after.removeprefix(b">"))


def _unasked(said: bytes) -> Execution | None:
    """What the board said of its own accord, without the REPL's own words."""
    lines = [line for line in said.splitlines() if not _REPL.fullmatch(line)]
    return Execution("", to_text(b"\n".join(lines)), "") if lines else None


def _read(code: bytes, answer: _Answer) -> Execution | None:
    code = code.partition(b"\x04")[0]
    mark = _MARK.search(code)
    told = _MARK.sub(b"", code)
    value = _VALUE.fullmatch(told)
    if _OURS.match(told) or (_OUR_NAMES in told and value is None):
        return None
    _, output, traceback, _ = answer
    if mark:
        output = output.removesuffix(mark[1])
    if value is None:
        return Execution(to_text(told), to_text(output), to_text(traceback))
    if _OUR_NAMES in traceback:  # the board had no encoder yet, and is asked again
        return None
    printed, begun, _ = output.rpartition(b"~%s:" % value[1])
    shown = to_text(printed) + _value(output, value[1].decode()) if begun else to_text(output)
    return Execution(to_text(value[2]), shown, to_text(traceback))


def _value(output: bytes, nonce: str) -> str:
    try:
        return repr(values.read(output, nonce))
    except BelayError as error:
        return f"({error})"
