"""What a board has that moving files can use, asked once in each life of its interpreter."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import TransferError

if TYPE_CHECKING:
    from belay_py.session.errands import Errand
    from belay_py.session.standing import Standing

# A letter for each thing that is there. Ports before MicroPython 1.21 have `uhashlib` and the like. It runs in a
# namespace of its own: a program may have names like `print`.
_QUESTION: Final = b"""\
exec(r'''import sys
r='~'
for n in 'shashlib.sha256 cbinascii.crc32 abinascii.a2b_base64 ebinascii.b2a_base64 ddeflate.DeflateIO \
zzlib.decompress ros.rename'.split():
 m,k=n[1:].split('.')
 for p in '','u':
  try:
   getattr(__import__(p+m),k)
   r+=n[0]
   break
  except(ImportError,AttributeError):pass
if hasattr(sys.stdin,'buffer'):r+='b'
print(r+';')''',{})
"""
_ANSWER: Final = re.compile(rb"~([a-z]*);")
_SMALL_HEAP = 32 << 10
"""Bytes of free heap below which buffers are small."""
_asked: weakref.WeakKeyDictionary[Standing, tuple[int, Abilities]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a board has."""

    letters: str
    raw_paste: bool
    window: int
    """Bytes per raw-paste credit; 0 without raw-paste."""
    free: int
    """Bytes of heap that were free when it was connected; a guess for those that do not say."""
    binary_stdout: bool

    @property
    def small(self) -> bool:
        """Whether memory is short."""
        return self.free < _SMALL_HEAP

    @property
    def hash(self) -> str:
        """The best hash that is there: sha256, crc32, or a checksum in Python."""
        return "sha256" if "s" in self.letters else "crc32" if "c" in self.letters else "adler32"

    @property
    def base64(self) -> bool:
        """Whether it reads base64."""
        return "a" in self.letters

    @property
    def writes_base64(self) -> bool:
        """Whether it writes base64."""
        return "e" in self.letters

    @property
    def inflate(self) -> str:
        """What it inflates with: ``deflate``, ``zlib`` (before MicroPython 1.21, and CircuitPython), or nothing."""
        return "deflate" if "d" in self.letters else "zlib" if "z" in self.letters else ""

    @property
    def binary_stdin(self) -> bool:
        """Whether code there can read any bytes from its stdin."""
        return "b" in self.letters

    @property
    def renames(self) -> bool:
        """Whether a file can be renamed."""
        return "r" in self.letters


async def abilities_of(errand: Errand) -> Abilities:
    """Return what the errand's board has, known or asked."""
    standing = errand.standing
    known = _asked.get(standing)
    if known is not None and known[0] == standing.boot_epoch:
        return known[1]
    epoch = standing.boot_epoch
    answer = _ANSWER.search((await errand.run(_QUESTION)).output_bytes)
    if answer is None:
        raise TransferError("the board did not say what it has for moving files; try again, or reset it")
    info = standing.info
    assert info is not None  # a board that ran the question was asked who it is when it was connected
    found = Abilities(
        answer[1].decode(),
        info.capabilities.raw_paste,
        info.capabilities.window,
        info.heap.free if info.heap else 8 << 10,
        info.capabilities.binary_stdout,
    )
    _asked[standing] = epoch, found
    return found
