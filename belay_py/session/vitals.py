"""How a board is: its heap and the room for files, asked in one execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from belay_py.errors import ProtocolViolation
from belay_py.session import answers as said

if TYPE_CHECKING:
    from belay_py.session.execution import ExecutionResult
    from belay_py.session.session import DeviceSession

# `gc.mem_free` and `gc.mem_alloc` each look through the whole heap, so only one of them is asked, and the heap's size
# is known since the board was connected. Each question stands alone, as in `belay_py.session.info`: boards without
# files have no `os.statvfs`.
CODE: Final = b"""\
def _belay_vitals():
 r={}
 try:
  import gc
  r['a']=gc.mem_alloc()
 except Exception:pass
 try:
  import os
  s=os.statvfs('/')
  r['s']=s[1]*s[2],s[1]*s[3]
 except Exception:pass
 print(repr(r))
_belay_vitals()
del _belay_vitals"""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a board said of itself, in bytes; None where it did not know."""

    heap_allocated: int | None = None
    storage_size: int | None = None
    storage_free: int | None = None


def parse(output: bytes) -> Vitals:
    """Read the answer to `CODE`. Raises `ProtocolViolation` when it is none."""
    try:
        answers = said.read(output, {"a": int, "s": (int, int)})
    except ValueError as error:
        raise ProtocolViolation("the board's answer how it is could not be read", received=output[-200:]) from error
    size, free = answers.get("s") or (None, None)
    return Vitals(answers.get("a"), size, free)


async def ask(session: DeviceSession, code: bytes, timeout: float) -> ExecutionResult:
    """Run a manager's own code: it is no operation of the session's users, neither counted nor under their policies.

    Raises what `DeviceSession.execute` raises.
    """
    standing = session._standing  # noqa: SLF001  a keeper and what it keeps
    deadline = standing.deadline(timeout)
    channel = await standing.begin(deadline)
    return await session._operations.run_begun(channel, code, deadline)  # noqa: SLF001  a keeper and what it keeps
