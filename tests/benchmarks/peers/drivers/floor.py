"""The floor: the same exchanges by bare system calls, at a raw prompt, with nothing checked and no error looked for.

An execution sends the bytes that belay_py sends, its marker included. A file goes to the board as what it is, over
standard input: in one piece where the link stalls, and where it loses bytes the board answers each block of 128 with a
byte, two blocks being on their way. Text goes deflated in pieces of 4 KiB, which boards with little memory can take
too, and the board inflates them when it has them all. A file comes from the board as what it is, its length asked for
before.
"""

from __future__ import annotations

import os
import tty
import zlib
from typing import TYPE_CHECKING

from . import Driver

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "\n_q(b'abcd')"
_WINDOW = 128
_FIRST = 2 * _WINDOW - 1  # with what stands around them, so many bytes of code fit a ring of 260
_TAKE = """
import sys,micropython
micropython.kbd_intr(-1)
f=sys.stdin.buffer.readinto
w=sys.stdout.write
d=bytearray({size})
m=memoryview(d)
w('+')
i=0
while i<{size}:
 i+=f(m[i:min(i+{block},{size})])
 w('+')
micropython.kbd_intr(3)
o=open('/{name}','wb')
{keep}
o.close()
"""
_AS_IT_IS = "o.write(d)"
_INFLATED = """import deflate,io
i=0
for n in {sizes}:
 o.write(deflate.DeflateIO(io.BytesIO(m[i:i+n]),deflate.RAW,12).read())
 i+=n"""
_PIECE = 4096
_GIVE = """
import sys
o=open('/{name}','rb')
w=sys.stdout.buffer.write
while 1:
 b=o.read(1024)
 if not b:break
 w(b)
o.close()
"""
_SIZE = "import os\nprint(os.stat('/{name}')[6])"


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
    return deflate.compress(data) + deflate.flush()


class Floor(Driver):
    """Bare `os.read` and `os.write`."""

    mark = _MARK

    def connect(self) -> None:
        self._fd = os.open(self.port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)
        os.write(self._fd, b"\r\x03\x03\x01")
        self._until(b"raw REPL; CTRL-B to exit\r\n>")
        self._run("__import__('builtins')._q=__import__('sys').stdout.write")

    def close(self) -> None:
        os.write(self._fd, b"\x02")
        os.close(self._fd)

    def execute(self, code: str) -> object:
        return self._run(code + self.mark).removesuffix(b"abcd")

    def put(self, source: Path, name: str) -> None:
        data, keep = source.read_bytes(), _AS_IT_IS
        if source.suffix == ".txt":
            pieces = [_deflated(data[start : start + _PIECE]) for start in range(0, len(data), _PIECE)]
            data, keep = b"".join(pieces), _INFLATED.format(sizes=[len(piece) for piece in pieces])
        block = _WINDOW if self.loses else 4096
        seen = self._start(_TAKE.format(size=len(data), block=block, name=name, keep=keep))
        sent = 0
        while sent < len(data):
            ready = seen.count(b"+")
            # The first answer says that Ctrl-C is off; each other one that a block was taken.
            limit = 0 if not ready else (ready + 1) * block if self.loses else len(data)
            if sent < limit:
                os.write(self._fd, data[sent:limit])
                sent = limit
            else:
                seen += os.read(self._fd, 65536)
        self._until(b"\x04\x04>", seen)

    def get(self, name: str, target: Path) -> None:
        size = int(self._run(_SIZE.format(name=name)))
        pieces = [self._start(_GIVE.format(name=name))]
        missing = size + 3 - len(pieces[0])
        while missing:
            pieces.append(os.read(self._fd, 65536))
            missing -= len(pieces[-1])
        target.write_bytes(b"".join(pieces)[:size])

    def _run(self, code: str) -> bytes:
        return self._until(b"\x04>", self._start(code)).removesuffix(b"\x04\x04>")

    def _start(self, code: str) -> bytes:
        """Send code, in the request for raw-paste what fits and the rest for credits; give what its output begins."""
        data = code.encode()
        sent, answer, end = 0, b"", False
        while not end:
            free = _FIRST if not sent else _WINDOW * answer.count(b"\x01") - sent
            if free <= 0:
                answer += os.read(self._fd, 65536)
                continue
            piece = data[sent : sent + free]
            end = sent + len(piece) == len(data)
            os.write(self._fd, (b"" if sent else b"\x05A\x01") + piece + (b"\x04" if end else b""))
            sent += len(piece)
        while b"\x04" not in answer:
            answer += os.read(self._fd, 65536)
        return answer.partition(b"\x04")[2]

    def _until(self, end: bytes, seen: bytes = b"") -> bytes:
        while not seen.endswith(end):
            seen += os.read(self._fd, 65536)
        return seen


class PlainFloor(Floor):
    """The same without the marker: what exact output costs stands between the two."""

    mark = ""
