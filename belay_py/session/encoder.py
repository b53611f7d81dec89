"""The encoder: MicroPython code that writes a value in the form which `session.values` reads.

It is sent once in each life of the board's interpreter, when first needed, and found by its name. It runs in a
namespace of its own, so that a program which redefines ``len`` or ``print`` changes nothing, and leaves one name on
``builtins``. Types are tested exactly: an instance of a subclass, or of a class whose ``__repr__`` lies, is refused. It
keeps no more than some hundred characters before it prints them, since small boards have 9 KB of heap, and calls
nothing recursively, since their C stacks end after some twenty Python calls.

The form, in which each token says where it ends:

========================  ==========================================================
``1f,-a,``                ints in hexadecimal
``D…,`` ``F…,``           floats as their IEEE bytes in hexadecimal, 8 or 4 each, big endian; one or many
``CD…,`` ``CF…,``         a complex number, the same
``'…'`` ``b'…'``          str, bytes: what ``repr`` says of these exact types; a ``+`` behind: the next token goes on
``U`` ``A`` ``M``         before bytes: it is a str in UTF-8, a bytearray, a memoryview
``Non Tru Fal Ell Not``   None, True, False, Ellipsis, NotImplemented
``range(0, 5)``           as ``repr`` says
``[ ( { < ^ = *H``        a list, tuple, dict (keys and values in turn), set, frozenset, deque, array('H') begins
``]``                     and ends
``!'Pin'``                nothing of this type can be sent; nothing follows
``~``                     nothing nested as deep as this can be sent; nothing follows
========================  ==========================================================

Around it stand ``~NONCE:`` and ``;COUNT;NONCE``, the count of characters in between in hexadecimal: a thread or a timer
on the board that prints meanwhile is noticed. No byte is below 0x20.
"""

from __future__ import annotations

from typing import Final

NAME: Final = "_belay_v"
"""The encoder's name on the board: ``_belay_v('nonce', value)``."""
DEEPEST: Final = 100
"""Containers inside each other. What is nested deeper most likely contains itself."""

_LOOP = r"""
 while 1:
  c=L.get(type(x),'!')
  if c in'[({<^=*':
   if len(s)>=DEEPEST:TOO_DEEP
   g(c,x,s)
  elif c in'sbAM':q(c,x)
  else:p(z(c,x))
  if c=='!':NO_FORM
  while s:
   try:
    x=next(s[-1])
    break
   except StopIteration:
    s.pop()
    p(']')
  else:break"""


def loop(too_deep: str, no_form: str) -> str:
    """Return the loop over a value ``x`` and all in it, with ``s=[]`` before it, and what is done where that ends."""
    return _LOOP.strip("\n").replace("TOO_DEEP", too_deep).replace("NO_FORM", no_form).replace("DEEPEST", str(DEEPEST))


# L: what kind of thing an exact type is; F, W: the float's token and struct's letter for it; h: bytes to hexadecimal.
# p prints, in portions: o, b, t are what is to be printed, how many characters that is, and how many were. q prints the
# beginning of str and bytes and returns the end. g opens a container: it puts an iterator on the stack s, but prints
# numbers of one type at once. v is the encoder: n a nonce, x what is to be printed next, c its kind, e its token.
_PARTS = (
    r"""
L={type(None):'w'}
k='bool-w int-i float-f complex-c range-r str-s bytes-b bytearray-A memoryview-M'
w='list-[ tuple-( dict-{ OrderedDict-{ set-< frozenset-^ deque-= array-*'
for w in k.split()+w.split():
 k,w=w.split('-')
 for m in 'builtins','collections','array':
  try:L[getattr(__import__(m),k)]=w
  except(ImportError,AttributeError):pass
""",
    # Boards without these words, floats or modules take the rest. `bytes.hex` is new in MicroPython 1.20.
    r"""
try:
 L[type(Ellipsis)]='w'
 F,W='Dd' if eval('1.1+1e-9!=1.1') else 'Ff'
 from struct import pack
except(NameError,SyntaxError,ImportError):pass
h=getattr(bytes,'hex',None)or(lambda y:''.join('%02x'%i for i in y))
o=[]
def p(e):
 global b,t
 o.append(e)
 b+=len(e)
 if b>200:
  t+=b
  b=0
  e=''.join(o)
  o.clear()
  print(e,end='')
""",
    r"""
def z(c,x):
 if c=='i':return'%x,'%x
 if c=='w':return repr(x)[:3]
 if c=='r':return repr(x)
 if c=='f':return F+h(pack('>'+W,x))+','
 if c=='c':return'C'+F+h(pack('>2'+W,x.real,x.imag))+','
 return c+repr(type(x).__name__)
""",
    r"""
def q(c,x):
 k=len(x)
 if c=='s':
  if k<200:
   p(repr(x))
   return
  c='U'
  x=x.encode()
  k=len(x)
 if c!='b':p(c)
 k=max(k-1,0)//200*200
 for i in range(0,k,200):p(repr(bytes(x[i:i+200]))+'+')
 p(repr(bytes(x[k:])))
""",
    r"""
def g(c,x,s):
 p(c)
 if c=='*':p(repr(x[:0])[7])
 k=c in'[('and set(map(type,x))or()
 k=len(k)==1 and L.get(k.pop())
 if c=='{':x=(i for i in x.items()for i in i)
 elif k=='i':
  for i in range(0,len(x),20):p(','.join(['%x'%i for i in x[i:i+20]])+',')
  x=()
 elif k=='f':
  for i in range(0,len(x),12):
   k=x[i:i+12]
   p(F+h(pack('>%d'%len(k)+W,*k))+',')
  x=()
 s.append(iter(x))
""",
    r"""
def v(n,x):
 global b,t
 o.clear()
 o.append('~'+n+':')
 b=t=0
 s=[]
"""
    + loop("\n    p('~')\n    break", "break")
    + r"""
 print(''.join(o)+';%x;'%(t+b)+n,end='')
 o.clear()
""",
)

_WORKSHOP = "_belay_w"  # where the parts come together; the last one removes it


def _compact(part: str) -> str:
    lines = (line for line in part.strip().split("\n") if not line.lstrip().startswith("#"))
    return "\n".join(lines).replace("DEEPEST", str(DEEPEST))


# Where builtins cannot be added to (small boards), the name stays among the program's own.
_FINISH = f"""\
try:__import__('builtins').{NAME}={_WORKSHOP}['v']
except AttributeError:{NAME}={_WORKSHOP}['v']
del {_WORKSHOP}"""

# For boards whose heap has no room for the above. It sends less and keeps all of a value before it prints it.
_SMALL = r"""
def _belay_v(n,x):
 o=[]
 s=[iter((x,))]
 while s:
  try:x=next(s[-1])
  except StopIteration:
   s.pop()
   if s:o.append(']')
   continue
  t=type(x)
  if t is int:e='%x,'%x
  elif t is str or t is bytes:e=repr(x)
  elif x is None or t is bool:e=repr(x)[:3]
  elif t is getattr(__import__('builtins'),'float',0):
   k='Dd' if eval('1.1+1e-9!=1.1') else 'Ff'
   e=k[0]+''.join(['%02x'%i for i in __import__('struct').pack('>'+k[1],x)])+','
  elif t in(list,tuple,dict):
   e='[('[t is tuple]
   if t is dict:
    e='{'
    x=[i for i in x.items()for i in i]
   s.append(iter(x))
   if len(s)>DEEPEST+1:e='~'
  else:e='!'+repr(t.__name__)
  o.append(e)
  if e[0]in'!~':break
 o=''.join(o)
 print('~%s:%s;%x;%s'%(n,o,len(o),n),end='')
"""

CLEAR: Final = f"try:\n del {_WORKSHOP}\nexcept NameError:pass\n__import__('gc').collect()".encode()
"""Removes what the parts left behind when one of them did not fit."""
INSTALL_SMALL: Final = _compact(_SMALL).encode()
"""The encoder for small heaps, in one execution. It refuses what is not None, bool, int, float, str, bytes, list, tuple
or dict."""
INSTALL: Final = tuple(
    code.encode()
    for code in (
        f"{_WORKSHOP}={{}}",
        *(f"__import__('gc').collect()\nexec({_compact(part)!r},{_WORKSHOP})" for part in _PARTS),
        _FINISH,
    )
)
"""The code that makes the encoder known to the board, in executions of their own: compiling takes a multiple of the
code's size, and all at once needed 13 KB (Pico, 1.24)."""
