"""Several snippets as one piece of code, and its output taken apart again.

A `Kit` on the board runs them, each compiled on its own in the program's namespace, and writes a frame behind each. The
submission is ``KIT(b'NONCE',STOP,b'...')`` with the snippets in one literal, a ``\\x1f`` between two of them: a literal
for each would cost a board three bytes of wire and an object apiece. What comes back is

    NONCE output NONCE 1a; output NONCE 1a! traceback NONCE ; ...

The first nonce says that they begin; behind each output stand its microseconds in hexadecimal (``-1`` on boards
without ``time.ticks_us``), then ``;``, or ``!`` and the traceback. No snippet knows the nonce, so each output is
whatever it is.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from belay_py.session.errands import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEPARATOR: Final = b"\x1f"

# n: the nonce; h: whether to stop at the first exception; c: the snippets. What is no Exception (SystemExit, a Ctrl-C)
# goes through. Each time sys is asked for: in the integrity mode it is another one. Microseconds wrap after 17 minutes.
# f, r: a snippet may replace those of builtins.
_CODE: Final = r"""
import builtins
try:from time import ticks_us as u,ticks_ms as m,ticks_diff as q
except ImportError:
 u=m=lambda:0
 q=lambda a,b:-1
f,r=compile,exec
def KIT(n,h,c):
 import sys
 w=sys.stdout.write
 w(n)
 i=0
 while i<=len(c):
  j=c.find(b'\x1f',i)
  if j<0:j=len(c)
  s=c[i:j]
  i=j+1
  e=None
  b=m()
  a=u()
  try:r(f(s,'<stdin>','exec'),G)
  except Exception as x:e=x
  a=q(u(),a)
  b=q(m(),b)
  if b>400000:a=b*1000
  w(n)
  if e is None:w('%x;'%a)
  else:
   w('%x!'%a)
   sys.print_exception(e)
   w(n)
   w(';')
   if h:break
try:builtins.KIT=KIT
except AttributeError:G['KIT']=KIT
"""
KIT: Final = kit("m", f"exec({_CODE.strip()!r},{{'G':globals()}})")
"""Runs packed snippets. Installing it raises NameError on boards without ``compile``."""

_FRAME = re.compile(rb"(-?[0-9a-f]+)([;!])")
_OUR_FRAMES = re.compile(
    rf'(?:  File "<stdin>", line \d+, in <module>\r?\n)?  File "<string>", line \d+, in {KIT.name}\r?\n'.encode()
)
_ESCAPES: Final = ((b"\\", rb"\\"), (b"'", rb"\'"), (b"\n", rb"\n"), (b"\r", rb"\r"))
_AROUND: Final = len(KIT.name) + 24
"""Bytes of a submission beside the snippets, the nonce included."""


class Ended(NamedTuple):
    """A snippet that has ended: what it wrote, the traceback if it raised, and its seconds on the board."""

    output: bytes
    traceback: bytes
    duration: float


class Answer(NamedTuple):
    """What came back: whether any snippet began, those that ended, and the output behind the last of them."""

    begun: bool
    ended: list[Ended]
    rest: bytes


def quoted(snippet: bytes) -> bytes | None:
    """Return a snippet as it stands in the literal, or None for one that holds what separates them."""
    if _SEPARATOR in snippet:
        return None
    for raw, escape in _ESCAPES:
        snippet = snippet.replace(raw, escape)
    return snippet


def pick(snippets: Sequence[bytes], first: int, limit: int) -> list[bytes]:
    """Return the quoted snippets from the ``first`` on that fit a submission of ``limit`` bytes; perhaps none."""
    batch: list[bytes] = []
    size = _AROUND
    for number in range(first, len(snippets)):
        snippet = quoted(snippets[number])
        if snippet is None or (size := size + len(snippet) + 1) > limit:
            break
        batch.append(snippet)
    return batch


def pack(batch: Sequence[bytes], nonce: str, *, stop: bool) -> bytes:
    """Return the code that runs quoted snippets; its first word is the kit's name."""
    return b"%s(b'%s',%d,b'%s')" % (KIT.name.encode(), nonce.encode(), stop, _SEPARATOR.join(batch))


def read(came: bytes, nonce: str) -> Answer:
    """Take apart what a submission has written so far."""
    key = nonce.encode()
    before, begun, _ = came.partition(key)
    position = len(before) + len(begun)
    ended: list[Ended] = []
    while begun and (end := came.find(key, position)) >= 0:
        frame = _FRAME.match(came, end + len(key))
        if frame is None:
            break
        output, traceback, following = came[position:end], b"", frame.end()
        if frame[2] == b"!":
            stop = came.find(key, frame.end())
            following = stop + len(key) + 1
            if stop < 0 or came[following - 1 : following] != b";":
                break
            traceback = without_our_frames(came[frame.end() : stop])
        microseconds = int(frame[1], 16)
        ended.append(Ended(output, traceback, math.nan if microseconds < 0 else microseconds / 1e6))
        position = following
    rest = came[position:].partition(key)[0] if begun else came  # and no frame that was cut short
    if before:  # of a thread or a timer, right at the beginning
        if ended:
            ended[0] = ended[0]._replace(output=before + ended[0].output)
        elif begun:
            rest = before + rest
    return Answer(bool(begun), ended, rest)


def without_our_frames(traceback: bytes) -> bytes:
    """Return a traceback as it is of code that the REPL runs itself."""
    return _OUR_FRAMES.sub(b"", traceback, count=1)
