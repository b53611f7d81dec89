"""The board's part of the integrity mode: what is installed there, and the lines that ask something of it.

A line is ``_belay_i(b'...')`` and nothing else: its kind, a nonce, the CRC-32 of both and of the code, and the code in
base64. Nothing in it means anything to Python by itself, so a byte that turns into ``\\x04`` in the middle, after which
the board takes the rest for a new piece of code, leaves two syntax errors and no tail that runs: the rest has one quote
too many. In a literal with escapes, which is a fifth shorter, ``reset()#`` from the middle of the code would run.

The report, after the code's output, is ``NONCE:COUNT,CRC,TRACEBACK:CRC``: bytes and CRC-32 of the output as it went out
on the wire, the traceback in base64, and the CRC-32 of the report itself, which goes on from that of the installed
text: so a damaged installation is seen at its first report.
"""

from __future__ import annotations

import binascii
import re
import zlib
from typing import Final

NAME: Final = "_belay_i"

# S: the nonce of the latest code and its report, empty while it runs. n, c: bytes of output and their CRC-32.
# The output is counted by os.dupterm, where nobody else uses it: that sees each byte, C's own too, as it goes out.
# Elsewhere a print and a sys of our own stand in while the code runs; w writes as the text layer does, with \r\n.
# _belay_x writes what is no output: a message.
# Z is that sys, X its stdout, T what os.dupterm is given; t is set while T is there; I and G are given by `_GATE`.
_PRELUDE: Final = r"""
import sys,io,os,builtins
from binascii import a2b_base64,b2a_base64,crc32
compile
P=print
R=sys.stdout
W=R.buffer.write
S=[b'',b'']
n=c=t=0
def u(e):
 global n,c
 n+=len(e)
 c=crc32(e,c)
 return len(e)
def w(e):
 if isinstance(e,str):e=e.encode()
 f=bytes(e).replace(b'\n',b'\r\n')
 u(f)
 W(f)
 return len(e)
class T(io.IOBase):
 def write(s,e):return u(e)
 def readinto(s,e):pass
 def ioctl(s,o,a):return 0
T=T()
class Y:
 def write(s,e):
  u(e)
  return W(e)
 def __getattr__(s,k):return getattr(R.buffer,k)
class X(io.IOBase):
 buffer=Y()
 def write(s,e):return w(e)
 def __getattr__(s,k):return getattr(R,k)
X=X()
def p(*a,file=None,**k):
 if file is None or file is R or file is X:
  file=io.StringIO()
  P(*a,file=file,**k)
  w(file.getvalue())
 else:P(*a,file=file,**k)
class Z:
 stdout=X
 def print_exception(s,x,f=X):
  if f is R:f=X
  sys.print_exception(x,f)
 def __getattr__(s,k):return getattr(sys,k)
Z=Z()
def o():
 global n,c,t
 t=0
 try:
  d=os.dupterm(T)
  if d is None or d is T:t=1
  else:os.dupterm(d)
 except(AttributeError,ValueError,OSError):pass
 if not t:
  builtins.print=p
  sys.modules['sys']=Z
 n=c=0
def f():
 if t:
  d=os.dupterm(None)
  if d is not None and d is not T:os.dupterm(d)
 else:
  if print is p:builtins.print=P
  sys.modules.pop('sys',0)
def _belay_i(s):
 k=s[:16]
 d=a2b_base64(s[24:])
 if crc32(k+d)!=int(s[16:24],16):raise ValueError
 if k[:1]==b'?':r=b','.join(S)
 else:
  S[:]=k[1:],b''
  e=''
  try:
   try:
    o()
    d=compile(d,'<stdin>','exec')
    exec(d,G)
   finally:f()
  except SystemExit:raise
  except BaseException as x:
   e=io.StringIO()
   sys.print_exception(x,e)
   e=e.getvalue()
  r=S[1]=('%x,%x,'%(n,c)).encode()+b2a_base64(e.encode()).strip()
 r=k[5:]+b':'+r
 W(r+(':%08x'%crc32(r,I)).encode()+k[1:5])
def _belay_x(e):
 global n,c
 d=n,c
 W(e)
 n,c=d
builtins._belay_i=_belay_i
builtins._belay_x=_belay_x
"""
_TEXT: Final = binascii.b2a_base64(_PRELUDE.strip().encode(), newline=False)
SEED: Final = zlib.crc32(_TEXT)
"""The CRC-32 of what is installed, as the board computes it of what it got: the beginning of that of each report."""
INSTALL: Final = (
    b"(lambda b,s:b.crc32(s)==%d and exec(b.a2b_base64(s),{'I':b.crc32(s),'G':globals()}))"
    b"(__import__('binascii'),b'%s')" % (SEED, _TEXT)
)
"""Installs the board's part, unless it came damaged: then nothing runs."""

# MicroPython names each function on the way of an exception, ours first.
_OUR_FRAME = re.compile(rb'  File "<string>", line \d+(?:, in _belay_i)?\n')
_HEAD = b"Traceback (most recent call last):\n"


def run(nonce: str, code: bytes) -> bytes:
    """Return the line that runs code; ``nonce`` is 15 characters of letters, digits, ``-`` and ``_``."""
    return _line(b"!" + nonce.encode(), code)


def ask(nonce: str) -> bytes:
    """Return the line that runs nothing and has the board say what it knows of the latest code."""
    return _line(b"?" + nonce.encode(), b"")


def _line(head: bytes, code: bytes) -> bytes:
    data = binascii.b2a_base64(code, newline=False)
    return b"%s(b'%s%08x%s')" % (NAME.encode(), head, zlib.crc32(head + code), data)


def without_our_frame(traceback: bytes) -> bytes:
    """Return a traceback as it is of code that the REPL runs itself.

    That of code that there was no memory to compile has no frames then, and no head either, as in raw-paste mode.
    """
    own = _OUR_FRAME.sub(b"", traceback, count=1)
    bare = own.removeprefix(_HEAD)
    return bare if bare.startswith(b"MemoryError") else own
