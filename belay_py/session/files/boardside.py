"""The kits: MicroPython code that puts and gets files on the board, made for what the board has.

Each kit is a namespace, so that a program which redefines ``open`` or ``len`` changes nothing, and sets no name but the
kit's. Answers stand between ``~`` and ``;``, so that the output of a timer on the board beside them does no harm.

The bytes 1 to 4 mean something to the REPL and never go over the wire as such; so Ctrl-C stays switched on while binary
data goes, and what of it a Ctrl-C leaves unread on the board is dead text at the prompt.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from belay_py.session.errands import Kit, kit
from belay_py.session.files import sizes

if TYPE_CHECKING:
    from belay_py.session.files.abilities import Abilities

CREDIT: Final = b"\x06"
"""What the board writes for each piece that it has taken: no byte that the parser of responses would hold back."""
HEAD: Final = 6
"""Bytes in front of each frame: its length and flags in two, then what stands for the bytes 1 to 4 in it, or 0."""
LAST: Final = 0x40
"""In a frame's first byte: the block ends with it."""
DEFLATED: Final = 0x20
"""In a frame's first byte: the block is deflated."""
# H makes what is updated, X tells it.
_SHA256: Final = """
try:from hashlib import sha256 as H
except ImportError:from uhashlib import sha256 as H
def X(k):return''.join('%02x'%i for i in k.digest()[:8])
"""
_CRC32: Final = """
try:from binascii import crc32
except ImportError:from ubinascii import crc32
class H:
 s=0
 def update(g,b):g.s=crc32(b,g.s)
def X(k):return'%08x'%k.s
"""
_ADLER32: Final = """
class H:
 a,c=1,0
 def update(g,b):
  a,c=g.a,g.c
  for i in b:
   a=(a+i)%65521
   c=(c+a)%65521
  g.a,g.c=a,c
def X(k):return'%04x%04x'%(k.c,k.a)
"""
_HASHES: Final = {"sha256": _SHA256, "crc32": _CRC32, "adler32": _ADLER32}

# F: the open part, P its path, T the target's. c closes, h hashes the first n bytes of a file.
# b begins: t target, d its folder, q the part's name, s and r the names in t if that is a folder, z how large a part
# may be to go on from. stat tells of names that cannot be; a missing file is 2, Emscripten's number for it 44.
# n begins anew, w writes blocks, y closes and removes the part.
# e ends, and says so: nothing is concluded from an answer that never came. FAT (17; 20 is Emscripten's number) may
# refuse to rename onto a file.
_PUT: Final = (
    """
import os
F=None
def c():
 global F
 f,F=F,None
 if f:f.close()
def h(p,n):
 k=H()
 b=bytearray(%(buffer)d)
 m=memoryview(b)
 f=open(p,'rb')
 while n>0:
  i=f.readinto(b if n>=len(b) else m[:n])
  if not i:break
  k.update(b if i==len(b) else m[:i])
  n-=i
 f.close()
 return X(k)
def D(p):
 try:return os.stat(p)[0]&0x4000
 except OSError as e:
  if e.args[0] not in(2,44):raise
def b(t,d,q,s,r,z):
 global F,P,T
 c()
 k=D(t)
 if k and s:
  d=t+'/'
  t=d+s
  q=r
  k=D(t) and 2 or 1
 elif k:k=2
 if k==2:raise OSError('EISDIR')
 if len(d)>1 and not os.stat(d[:-1])[0]&0x4000:raise OSError('ENOTDIR')
 T=t
 P=d+q
 a=0
 try:a=z and os.stat(P)[6]
 except OSError:pass
 if a>z:a=0
 x=a and h(P,a)
 F=open(P,'ab'if a else'wb')
 print('~%%d,%%d,%%s;'%%(k or 0,a,x))
def n():
 global F
 c()
 F=open(P,'wb')
def y():
 c()
 os.remove(P)
""",
    """
def w(m,*a):
 for x in a:
  if m&2:x=B(x)
  if m&1:x=Z(x)
  if F.write(x)!=len(x):raise OSError('ENOSPC')
def e(x):
 c()
 if x and h(P,1<<30)!=x:
  os.remove(P)
  return print('~!;')
 try:os.rename(P,T)
 except OSError as e:
  if e.args[0]not in(17,20):raise
  os.remove(T)
  os.rename(P,T)
 print('~=;')
""",
)
_BASE64: Final = """
try:from binascii import a2b_base64 as B
except ImportError:from ubinascii import a2b_base64 as B
"""
_INFLATE: Final = {
    "deflate": """
import io,deflate
def Z(x):return deflate.DeflateIO(io.BytesIO(x),deflate.RAW,%(wbits)d).read()
""",
    "zlib": """
try:from zlib import decompress
except ImportError:from uzlib import decompress
def Z(x):return decompress(x,-%(wbits)d)
""",
    "": "",
}
# r reads frames, g the whole of each in pieces of p bytes with a credit for each; the first credit says: begin.
_BINARY: Final = """
import sys
A=bytearray(%(frame)d)
M=memoryview(A)
def g(i,j,p):
 I=sys.stdin.buffer.readinto
 O=sys.stdout.write
 while i<j:
  k=min(i+p,j)
  while i<k:i+=I(M[i:k])
  O('\\x06')
def r(n,p):
 I=sys.stdin.buffer.readinto
 try:
  sys.stdout.write('\\x06')
  l=[]
  while n:
   i=0
   while i<6:i+=I(M[i:6])
   f=A[0]
   j=(f&31)<<7|A[1]&127
   s=bytes(A[2:6])
   g(0,j,p)
   x=M[:j]
   if any(s):
    x=bytes(x)
    for i in range(4):
     if s[i]:x=x.replace(s[i:i+1],bytes((i+1,)))
   if f&32:
    l.append(bytes(x))
    if f&64:
     x=Z(b''.join(l))
     l=[]
   if not l and F.write(x)!=len(x):raise OSError('ENOSPC')
   n-=1
 except BaseException:
  c()
  raise
"""

# s begins to send a file: its size, then n bytes of it; m goes on. With the last of them goes the hash.
_GET: Final = """
import os,sys
F=None
def s(p,n):
 global F,L,K
 if F:F.close()
 F=None
 z=os.stat(p)
 if z[0]&0x4000:raise OSError('EISDIR')
 F=open(p,'rb')
 K=H()
 L=z[6]
 sys.stdout.write('~%%d;'%%L)
 m(n)
def m(n):
 global F,L
 b=bytearray(%(buffer)d)
 v=memoryview(b)
 while n>0 and L>0:
  i=F.readinto(v[:min(n,L,len(b))])
  if not i:break
  x=v[:i]
  K.update(x)
  o(x)
  n-=i
  L-=i
 if L<=0 or n>0:
  sys.stdout.write('~%%s;'%%X(K))
  F.close()
  F=None
"""
_RAW_OUT: Final = """
o=sys.stdout.buffer.write
"""
_BASE64_OUT: Final = """
try:from binascii import b2a_base64
except ImportError:from ubinascii import b2a_base64
def o(x):sys.stdout.write(str(b2a_base64(x),'ascii'))
"""
_HEX_OUT: Final = """
def o(x):sys.stdout.write(''.join('%%02x'%%i for i in x)+'\\n')
"""


def _make(letter: str, *parts: str) -> Kit:
    # The name comes last: a kit that was cut half-way must not look whole.
    fill = (f"exec(r'''{part.strip()}''',KIT_)" for part in parts)
    return kit(letter, "KIT_={}", *fill, "KIT=KIT_\ndel KIT_")


@lru_cache(16)
def put_kit(abilities: Abilities) -> Kit:
    """Return the kit that puts files on a board of these abilities."""
    values = {"buffer": sizes.buffer(abilities), "wbits": sizes.wbits(abilities)}
    parts = [_HASHES[abilities.hash], *(part % values for part in _PUT)]
    if abilities.base64:
        parts.append(_BASE64)
    if abilities.inflate:
        parts.append(_INFLATE[abilities.inflate] % values)
    if abilities.binary_stdin:
        parts.append(_BINARY % {"frame": sizes.frame(abilities)})
    return _make("u", *parts)


@lru_cache(16)
def get_kit(abilities: Abilities) -> Kit:
    """Return the kit that gets files from a board of these abilities."""
    values = {"buffer": sizes.buffer(abilities)}
    out = _RAW_OUT if abilities.binary_stdout else _BASE64_OUT if abilities.writes_base64 else _HEX_OUT
    return _make("d", _HASHES[abilities.hash], _GET % values, out % ())
