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
"""Characters of one of them."""
_BEGIN: Final = b"\x05A\x01"
# The last line of code marks the end of its own output, for the session (see `belay_py.protocol`).
_MARK: Final = re.compile(rb"\n?_q\(b'([^']*)'\)\Z")
_ANSWER: Final = re.compile(rb"R[\x00\x01]\x80?.?\x00?\x01*\x04?", re.DOTALL)
_VALUE: Final = re.compile(rb"_belay_v\('([0-9a-f]+)',\((.*)\)\)", re.DOTALL)
# Proofs of the prompt, fences, helpers that are sent once, the files' own code: none of it is the test's.
_OURS: Final = re.compile(rb"print\('[0-9a-f]+'\+'[0-9a-f]'\)\Z|\{\}\['|exec\(r'''")
_OUR_NAMES: Final = b"_belay_"


class Execution(NamedTuple):
    """Code, and what came back: its output and its traceback."""

    code: str
    output: str
    traceback: str

    def __str__(self) -> str:
        told = "\n".join(
            f"{'>>>' if number == 0 else '...'} {line}" for number, line in enumerate(self.code.split("\n"))
        )
        return "\n".join(part.rstrip("\n") for part in (told, self.output, self.traceback) if part)


def transcript(trace: bytes) -> str:
    """Return the latest executions of a trace, the oldest of them first."""
    found = [*executions(trace)]
    shown = [str(one) for one in found[-_MOST:]]
    if len(found) > _MOST:
        shown.insert(0, f"({len(found) - _MOST} executions before)")
    return "\n".join(one if len(one) <= _LONGEST else f"{one[:_LONGEST]}..." for one in shown)


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
        if code is not None and (found := _read(bytes(code), bytes(said))) is not None:
            yield found
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


def _read(code: bytes, said: bytes) -> Execution | None:
    code = code.partition(b"\x04")[0]
    mark = _MARK.search(code)
    told = _MARK.sub(b"", code)
    value = _VALUE.fullmatch(told)
    if _OURS.match(told) or (_OUR_NAMES in told and value is None):
        return None
    answer = _ANSWER.match(said)
    output, _, rest = said[answer.end() if answer else 0 :].partition(b"\x04")
    traceback = rest.partition(b"\x04")[0]
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
