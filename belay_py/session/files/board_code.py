"""Kits for the board's folders, and what they answer.

Each answers in lines: tuples as ``repr`` writes them, then the count of their characters, so that a thread or a timer
on the board that prints meanwhile is noticed. ``repr`` escapes line ends and, on boards with Unicode, all that is not
ASCII. Where the file system refuses, a line ``!`` with the path comes before the exception: of a whole tree it is not
known otherwise which file it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from belay_py.errors import ProtocolViolation
from belay_py.session.errands import kit
from belay_py.session.parser import literal

if TYPE_CHECKING:
    from belay_py.session.execution import ExecutionResult

# `p` is the path at hand. Classes serve as namespaces: their functions are called without an instance, and the board
# has one name more.
_FRAME: Final = """\
class KIT:
 import os
 def say(*x):
  x=repr(x)
  KIT.n+=len(x)
  print(x)
 def run(f,*a):
  KIT.n=0
  KIT.p=a[0]
  try:getattr(KIT,f)(*a)
  except OSError:
   print('!'+repr(KIT.p))
   raise
  print(KIT.n)
 def st(p):
  KIT.p=p
  return KIT.os.stat(p)
 def isdir(p):
  try:return KIT.os.stat(p)[0]&0x4000
  except OSError as e:
   if e.args[0]in(2,20):return
   raise
 def at(p,n):return p+n if p in('','/') else p.rstrip('/')+'/'+n
 def each(p):
  KIT.p=p
  for e in KIT.os.ilistdir(*[p][:len(p)]):
   n,d=e[:2]
   z=0
   if not d or not d&0x4000 and len(e)<4:
    s=KIT.st(KIT.at(p,n))
    d,z=s[0],s[6]
   elif len(e)>3:z=e[3]
   d=d&0x4000>0
   yield n,d,0 if d else z
"""

# A file system without sizes in `ilistdir` (VfsPosix) is asked for each. `remove` and `rmdir` are told apart here,
# because littlefs takes either for both. What is removed is listed before it, since an open listing may lose its place.
LOOK: Final = kit(
    "l",
    _FRAME,
    """
def f(p):
 for e in KIT.each(p):KIT.say(*e)
KIT.ls=f
def f(s,k):
 while s and k>0:
  p=s.pop()
  KIT.say(p)
  for n,d,z in KIT.each(p):
   KIT.say(n,d,z)
   k-=1
   if d:s.append(KIT.at(p,n))
 KIT.say(s,0)
KIT.walk=f
def f(p):
 s=KIT.st(p)
 d=s[0]&0x4000>0
 KIT.say(d,0 if d else s[6])
KIT.stat=f
def f(p):
 try:KIT.stat(p)
 except OSError as e:
  if e.args[0]not in(2,20):raise
KIT.has=f
def f(p):
 s=KIT.os.statvfs(p)
 KIT.say(s[1]*s[2],s[1]*s[3])
KIT.df=f
def f(p):
 KIT.st(p) if KIT.isdir(p) else open(p,'ab').close()
KIT.touch=f
del f
""",
    """
def f(p,r,k):
 i=p.find('/',1) if r else 0
 while i>0:
  q=KIT.p=p[:i]
  if not KIT.isdir(q):KIT.os.mkdir(q)
  i=p.find('/',i+1)
 KIT.p=p
 if not(k and KIT.isdir(p)):KIT.os.mkdir(p)
KIT.md=f
def f(p,q):
 KIT.st(p)
 KIT.p=q
 KIT.os.rename(p,q)
KIT.mv=f
def f(p,r,k):
 try:d=KIT.st(p)[0]&0x4000
 except OSError as e:
  if k and e.args[0]in(2,20):return
  raise
 if not d:return KIT.os.remove(p)
 if not r:raise OSError(21)
 s=[p]
 while s:
  p=s[-1]
  c=list(KIT.each(p))
  KIT.p=p
  if not c:KIT.os.rmdir(s.pop())
  for n,d,z in c:
   q=KIT.p=KIT.at(p,n)
   if d:s.append(q)
   else:KIT.os.remove(q)
KIT.rm=f
def f(l,n,*a):
 for p in l:getattr(KIT,n)(p,*a)
KIT.many=f
del f
""",
)
"""Looking at folders and changing them."""

# `cmp` is asked in pairs of a name and a size. A name comes as how many characters it shares with the one before, and
# the rest; no path holds two slashes in a row. It answers sixteen at a time, then with what else there is (`x`).
# A file's hash is told in 16 digits of its SHA-256: that two contents of one size agree in them by chance is out of
# the question, and four times as many would be half of what a sync without changes sends.
COMPARE: Final = kit(
    "s",
    _FRAME,
    """
def f(p,a):
 KIT.p=p
 if KIT.isdir(p):raise OSError(21)
 h=getattr(__import__('hashlib'),a)()
 b=KIT.b
 f=open(p,'rb')
 try:
  while 1:
   n=f.readinto(b)
   if not n:break
   h.update(b[:n])
 finally:f.close()
 return ''.join(['%02x'%i for i in h.digest()])
KIT.sum=f
def f(p,a):
 KIT.b=memoryview(bytearray(1024))
 KIT.say(KIT.sum(p,a))
 KIT.b=0
KIT.hash=f
def f(p,z):
 try:s=KIT.st(p)
 except OSError as e:
  if e.args[0]in(2,20):return'-'
  raise
 if s[0]&0x4000:return'd'
 return KIT.sum(p,'sha256')[:16] if z==str(s[6]) else 'f'
KIT.one=f
def f(t,w,x):
 KIT.b=memoryview(bytearray(1024))
 w=w.split('//')
 k=set()
 o=[]
 m=''
 for i in range(0,len(w)-1,2):
  c,_,r=w[i].partition(',')
  m=m[:int(c)]+r
  if x:k.add(m)
  o.append(KIT.one(KIT.at(t,m) if m else t,w[i+1]))
  if len(o)>15:
   KIT.say('/'.join(o))
   o=[]
 KIT.say('/'.join(o))
 KIT.b=w=0
 if x and KIT.isdir(t):
  s=['']
  while s:
   q=s.pop()
   for n,d,z in KIT.each(KIT.at(t,q) if q else t):
    n=KIT.at(q,n)
    if n not in k:KIT.say(n,d)
    if d:s.append(n)
KIT.cmp=f
del f
""",
)
"""Comparing what the board has with what the host has."""

# A piece comes as its length and its bytes (`r`, raw) or these in hexadecimal, and then what `answers` reads. In
# `add`, `o` is how long the file is to be, before `x` is written to its end.
PIECES: Final = kit(
    "o",
    _FRAME,
    """
KIT.sys=__import__('sys')
def f(p,m):
 s=KIT.isdir(p)
 if s:raise OSError(21)
 if m:open(p,m).close()
 KIT.say(KIT.st(p)[6])
KIT.open=f
def f(p,o,n,r):
 f=open(p,'rb')
 try:
  f.seek(o)
  b=f.read(n)
 finally:f.close()
 if r:
  print(len(b))
  KIT.sys.stdout.buffer.write(b)
 else:print(len(b),''.join(['%02x'%i for i in b]))
KIT.get=f
def f(p,o,x):
 try:from binascii import a2b_base64 as a
 except ImportError:from ubinascii import a2b_base64 as a
 x=a(x)
 if KIT.st(p)[6]==o:
  f=open(p,'ab')
  try:
   if f.write(x)!=len(x):raise OSError(28)
  finally:f.close()
 KIT.say(KIT.st(p)[6])
KIT.add=f
del f
""",
)
"""Reading and writing a file piece by piece."""


def answers(result: ExecutionResult) -> list[tuple[Any, ...]]:
    """Return the tuples that a kit has printed. Raises `ProtocolViolation` where something else printed meanwhile."""
    try:
        *lines, count, _ = result.output.split("\n")
        text = "".join(lines)
        if int(count) not in (len(text), len(text.encode())):  # boards without Unicode count bytes
            raise ValueError
        found = [literal(line) for line in lines]
        if not all(isinstance(answer, tuple) for answer in found):
            raise ValueError
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _disturbed(result) from None
    return found


def _disturbed(result: ExecutionResult) -> ProtocolViolation:
    return ProtocolViolation(
        "something else on the board (a timer, a thread) printed while it answered about its files; what was asked "
        "for was done. Silence it, and ask again",
        received=result.output_bytes[-200:],
    )


def piece(result: ExecutionResult) -> bytes:
    """Return the bytes that ``get`` of `PIECES` has read. Raises as `answers` does."""
    head, _, body = result.output_bytes.partition(b"\n")
    length, _, digits = head.strip().partition(b" ")
    try:
        data = bytes.fromhex(digits.decode()) if digits else body[: int(length)]
        left = body if digits else body[int(length) :]
        if len(data) != int(length) or left != b"0\r\n":
            raise ValueError
    except ValueError:
        raise _disturbed(result) from None
    return data


def failed_at(output: bytes, path: str) -> str:
    """Return the path at which the board's file system refused; ``path`` is what was asked for."""
    for line in reversed(output.decode("utf-8", "replace").splitlines()):
        if line.startswith("!"):
            try:
                found = literal(line[1:])
            except (ValueError, SyntaxError):
                return path
            return found if isinstance(found, str) else path
    return path
