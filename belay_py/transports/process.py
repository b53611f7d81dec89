"""Programs as ports: ``process:COMMAND ARGUMENTS`` by its standard input and output, ``process+pty:`` by a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from functools import partial
from typing import IO, TYPE_CHECKING

from belay_py.devices.holders import shortened
from belay_py.errors import ConnectionFailed
from belay_py.transports.child import Child, PosixChild
from belay_py.transports.offload import offload, start_thread
from belay_py.transports.starts import starts
from belay_py.transports.threaded import ThreadedTransport

if TYPE_CHECKING:
    from belay_py.transports.base import LinkOptions, Receiver, Transport

# Makes the terminal on its standard input the controlling one, as a program expects that reads Ctrl-C from it. In a
# process of its own: Python cannot run code safely between fork and exec in a program with threads.
_TERMINAL_STUB = (
    "import fcntl, os, sys, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\nos.execvp(sys.argv[1], sys.argv[1:])"
)


async def open_process(port: str, receiver: Receiver, options: LinkOptions) -> Transport:
    """Start the command that ``port`` names and connect to it. It has no rate, no lines, and one owner: this program.

    The child is ended with the transport, which is over when the child is gone. When it ends by itself, the receiver
    gets `Disconnected` with its status and the last line that it wrote to its standard error. Raises
    `ConnectionFailed`.
    """
    del options
    scheme, _, command = port.partition(":")
    name = shortened(port)  # a command may have several lines
    child = await offload(
        partial(start, name, command, terminal=scheme.lower().endswith("+pty")), _discard, name=f"belay opening {port}"
    )
    return await ThreadedTransport.start(name, receiver, child)


def _discard(child: Child) -> None:
    """End a child that nobody wants any more; not here, since it may take a second."""
    try:
        start_thread(child.close, name=f"belay ending process {child.pid}")
    except ConnectionFailed:
        child.close()


def start(port: str, command: str, *, terminal: bool) -> Child:
    """Start what a shell would start, without a shell; quoted words are kept together. This blocks for moments.

    Windows takes the line as it is, and knows pipes only. Raises `ConnectionFailed`.
    """
    try:
        words = [command.strip()] if sys.platform == "win32" else shlex.split(command)
    except ValueError as exc:
        raise ConnectionFailed(f"{port} is quoted in a wrong way ({exc}): write it as for a shell") from exc
    if not any(words):
        raise ConnectionFailed(f"{port} names no command: write process:COMMAND ARGUMENTS")
    if terminal and sys.platform == "win32":
        raise ConnectionFailed(f"Windows has no pseudo-terminals for {port}: use process:")
    try:
        with starts.one():
            return (_start_on_terminal if terminal else _start_on_pipes)(port, words)
    except FileNotFoundError as exc:
        raise ConnectionFailed(
            f"there is no command {words[0]!r}, as {port} names it: install it, or write its path"
        ) from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL
        reason = getattr(exc, "strerror", None) or exc
        raise ConnectionFailed(f"cannot start {words[0]!r} for {port} ({reason}): name a program") from exc


def _start_on_pipes(port: str, words: list[str]) -> Child:
    pipe = subprocess.PIPE
    process = subprocess.Popen(  # noqa: S603  the command is the caller's own
        words[0] if sys.platform == "win32" else words,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        start_new_session=sys.platform != "win32",
    )
    return _child(port, process)


def _start_on_terminal(port: str, words: list[str]) -> Child:
    import tty  # noqa: PLC0415  Windows has none

    if shutil.which(words[0]) is None:  # the stub would find out too late
        raise FileNotFoundError(words[0])
    ours, theirs = os.openpty()
    terminal = os.fdopen(ours, "r+b", buffering=0)
    try:
        tty.setraw(theirs)  # as a serial port is; a program that wants echo and Ctrl-C asks for them
        process = subprocess.Popen(  # noqa: S603  the command is the caller's own
            [sys.executable, "-I", "-S", "-c", _TERMINAL_STUB, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    except BaseException:  # it goes on when nothing is left open
        terminal.close()
        raise
    finally:
        os.close(theirs)
    return _child(port, process, terminal)


def _child(port: str, process: subprocess.Popen[bytes], terminal: IO[bytes] | None = None) -> Child:
    if sys.platform == "win32":
        return Child(port, process, terminal)
    try:
        return PosixChild(port, process, terminal)
    except BaseException:  # no more descriptors, say; it goes on when the child is gone
        Child(port, process, terminal).close()
        raise
