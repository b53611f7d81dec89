"""The raw REPL, without I/O: bytes in, events out, bytes to send.

:class:`RawRepl` is the whole of it; the other modules are its parts. Nothing here knows of sockets, ports or clocks.
"""

from belay_py.protocol.codes import find_unsendable
from belay_py.protocol.events import BoardReset, Event, Features, Finished, Output, Ready
from belay_py.protocol.preparation import ask_life, prepare
from belay_py.protocol.raw_repl import RawRepl
from belay_py.protocol.state import RESPONDING, ReplState

__all__ = [
    "RESPONDING",
    "BoardReset",
    "Event",
    "Features",
    "Finished",
    "Output",
    "RawRepl",
    "Ready",
    "ReplState",
    "ask_life",
    "find_unsendable",
    "prepare",
]
