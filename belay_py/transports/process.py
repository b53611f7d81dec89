"""Programs as ports: ``process:COMMAND ARGUMENTS`` by its standard input and output, ``process+pty:`` by a terminal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from belay_py.errors import ConnectionFailed
from belay_py.transports.child import Child, start
from belay_py.transports.offload import offload, start_thread
from belay_py.transports.threaded import ThreadedTransport

if TYPE_CHECKING:
    from belay_py.transports.base import LinkOptions, Receiver, Transport


async def open_process(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Start the command that ``port`` names and connect to it. It has no rate, no lines, and one owner: this program.

    The child is ended with the transport, which is over when the child is gone. When it ends by itself, the receiver
    gets `Disconnected` with its status and the last line that it wrote to its standard error. Raises
    `ConnectionFailed`.
    """
    del options
    scheme, _, command = port.partition(":")
    child = await offload(
        partial(start, port, command, terminal=scheme.lower().endswith("+pty")), _discard, name=f"belay opening {port}"
    )
    return await ThreadedTransport.start(port, receiver, child)


def _discard(child: Child) -> None:
    """End a child that nobody wants any more; not here, since it may take a second."""
    try:
        start_thread(child.close, name=f"belay ending process {child.pid}")
    except ConnectionFailed:
        child.close()
