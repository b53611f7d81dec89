"""What a board says about itself, asked in one execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from belay_py.errors import ProtocolViolation
from belay_py.protocol import prepare
from belay_py.session import answers as said

# Each question stands alone: old and small boards lack `os`, `os.uname`, `gc.mem_free`, `machine` or `sys.stdout`
# (MicroPython 1.9.2 on the micro:bit lacks most of them). It leaves nothing behind in the board's globals.
_CODE: Final = b"""\
def _belay_info():
 def l():
  {prepare}
  return _belay_life
 import sys
 r={}
 def q(k,f):
  try:r[k]=f()
  except Exception:pass
 i=sys.implementation
 q('n',lambda:i.name if hasattr(i,'name')else i[0])
 q('v',lambda:tuple(i.version if hasattr(i,'version')else i[1])[:3])
 q('m',lambda:i._machine)
 q('p',lambda:sys.platform)
 q('x',lambda:i._mpy)
 q('e',lambda:sys.byteorder)
 def u():
  import os
  return os.uname()[4]
 if 'm' not in r:q('m',u)
 def w():
  import machine
  return ''.join('%02x'%b for b in machine.unique_id())
 q('u',w)
 def g():
  import gc
  return gc.mem_free(),gc.mem_alloc()
 q('h',g)
 q('f',lambda:64 if eval('1.1+1e-9!=1.1')else 32)
 q('b',lambda:hasattr(sys.stdout,'buffer'))
 q('l',l)
 s=repr(r)
 h=0
 for c in s:h=(h*31+ord(c))%16777213
 print(s,h)
_belay_info()
del _belay_info
"""


def code(life: str) -> bytes:
    """Return the question, which calls this life of the interpreter ``life`` if it has no name yet."""
    return _CODE.replace(b"{prepare}", prepare(life).rstrip().replace(b"\n", b"\n  "))


_KINDS: Final[dict[str, said.Kind]] = {
    "n": str, "v": [int], "m": str, "p": str, "x": int, "e": str, "u": str, "h": (int, int), "f": int, "l": str,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heap:
    """The board's Python heap, in bytes, at the time of asking."""

    free: int
    allocated: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the board can do, as far as it changes how one talks to it."""

    raw_paste: bool
    window: int
    """Bytes per raw-paste credit; 0 without raw-paste."""
    float_bits: int | None
    """64, 32, or None on a board without floats."""
    marked_output: bool
    """Whether ``sys.stdout`` can mark the end of a response, so that no program can forge it."""
    binary_stdout: bool
    """Whether ``sys.stdout.buffer`` exists, so that any bytes can be written."""


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board said about itself when it was connected. None where it did not know."""

    implementation: str
    version: tuple[int, ...]
    platform: str | None
    machine: str | None
    unique_id: str | None
    """``machine.unique_id()`` in hexadecimal."""
    mpy: int | None
    """``sys.implementation._mpy``: which ``.mpy`` files it loads."""
    byteorder: str | None
    capabilities: Capabilities
    heap: Heap | None


class Answer(NamedTuple):
    """What a board answers to `code`: what it is, and the name of its interpreter's life, if that can have one."""

    board: BoardInfo
    life: str | None


def parse(output: bytes, *, raw_paste: bool, window: int) -> Answer:
    """Read the answer to `code`. Raises `ProtocolViolation` when it is none."""
    try:
        answers = said.read(output, _KINDS)
        heap = answers.get("h")
        info = BoardInfo(
            implementation=str(answers["n"]),
            version=tuple(answers["v"]),
            platform=answers.get("p"),
            machine=answers.get("m"),
            unique_id=answers.get("u"),
            mpy=answers.get("x"),
            byteorder=answers.get("e"),
            capabilities=Capabilities(
                raw_paste=raw_paste,
                window=window,
                float_bits=answers.get("f"),
                marked_output=bool(answers.get("l")),
                binary_stdout=bool(answers.get("b")),
            ),
            heap=Heap(*heap) if heap else None,
        )
    except (LookupError, TypeError, ValueError) as error:
        raise ProtocolViolation(
            "the board's answer about itself could not be read; is it MicroPython?", received=output[-200:]
        ) from error
    return Answer(info, answers.get("l"))
