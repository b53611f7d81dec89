"""The board's part of messages: `belay_send`, which writes a value to the host in the middle of what a program prints.

A message is ``\\x1e NONCE SIZE,TOPIC,NUMBER,CRC: topic value \\x1f``, without the blanks: topic and value are in the
form of `session.encoder`, in which no byte is below 0x20; numbers are hexadecimal, sizes are bytes, the CRC-32 is that
of topic and value and goes on from the number (nothing on boards without it). It is written by one call, so that a
timer's print comes before or behind it; a thread's may still stand inside, and some USB stacks run timers while they
wait for the host.

In the integrity mode it goes past what counts the output, so that a timer may send at any time.

The encoder is a second one: `evaluate` has its own, which a timer's message must not disturb.
"""

from __future__ import annotations

import re
from typing import Final

from belay_py.session import encoder
from belay_py.session.errands import kit

NAME: Final = "belay_send"
"""What programs on the board call: ``belay_send(value, topic=None)``."""
BEGIN: Final = b"\x1e"
END: Final = b"\x1f"

# N: the nonce; i: messages so far. Q, y: a message sent from a timer's callback in the middle of another one waits for
# its end. It may come right before `y=1`, too, and leave Q empty. What the encoder's p would print stays in o.
_SEND: Final = r"""
N=''
i=y=0
Q=[]
try:from binascii import crc32 as C
except ImportError:C=None
def p(e):o.append(e)
def v(x):
 s=[]
""" + encoder.loop(
    "raise ValueError('belay_send: nested too deep')",
    "raise TypeError('belay_send: '+type(x).__name__+' has no form that can be sent')",
)
_CALL: Final = r"""
def belay_send(value,topic=None):
 global i,y
 if topic is not None and type(topic)is not str:raise TypeError('belay_send: topic must be a str')
 Q.append((value,topic))
 while Q and not y:
  y=1
  try:
   if Q:
    import sys
    value,topic=Q.pop(0)
    o.clear()
    if topic is not None:q('s',topic)
    k=len(''.join(o).encode())
    v(value)
    e=''.join(o).encode()
    o.clear()
    k='%x,%x,%x,'%(len(e),k,i)+('%x'%C(e,i)if C else'')
    i+=1
    try:w=_belay_x
    except NameError:w=sys.stdout.write
    w(('\x1e'+N+k+':').encode()+e+b'\x1f')
  finally:
   y=0
   o.clear()
def KIT(n):
 global N
 N=n
 return i
"""
_WORKSHOP: Final = "_belay_w"  # the encoder's own, removed as it does
# The kit's own name is the last one: code that is cut half-way must not look whole.
_FINISH: Final = f"""\
try:
 __import__('builtins').{NAME}={_WORKSHOP}['{NAME}']
 __import__('builtins').KIT={_WORKSHOP}['KIT']
except AttributeError:
 {NAME}={_WORKSHOP}['{NAME}']
 KIT={_WORKSHOP}['KIT']
del {_WORKSHOP}"""

KIT: Final = kit(
    "s",
    *(part.decode() for part in encoder.INSTALL[:-2]),  # all but its own `v`, and the naming of that
    *(f"exec({part.strip()!r},{_WORKSHOP})" for part in (_SEND, _CALL)),
    _FINISH,
)
"""Makes `NAME` known, and a function that takes the host's nonce and returns how many messages there were."""


def begin(nonce: str) -> bytes:
    """Return code that has messages carry a nonce from now on, and prints how many there were."""
    # Programs redefine print.
    return b"exec('print(\"%s %%d.\"%%i)',{'i':%s('%s')})" % (NAME.encode(), KIT.name.encode(), nonce.encode())


def sent_before(output: bytes) -> int:
    """Return what the code of `begin` has printed, a timer's output beside it or not."""
    found = re.search(rb"%s (\d+)\." % NAME.encode(), output)
    return int(found[1]) if found else 0
