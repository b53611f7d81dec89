"""Which process is meant by a number, and whether it lives."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from belay_py.devices.holders import command, shortened, started


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """What tells a process from all others, so that a number that is used again is not taken for it."""

    pid: int
    started: int | None
    machine: str
    program: str


def own_mark() -> ProcessMark:
    """This process's."""
    pid = os.getpid()
    try:
        program = command(pid)
    except OSError:
        program = shortened(" ".join([sys.executable, *sys.argv[1:]]))
    return ProcessMark(pid, started(pid), _machine(), program)


def lives(pid: int, began: int | None, machine: str) -> bool | None:
    """Whether a process runs. None: from here nobody can tell, as of another machine's, or on Windows."""
    host, boot, space = _parts(machine)
    here, boot_here, space_here = _parts(_machine())
    if boot != boot_here or not boot:
        # The same host after a restart, which has ended everything; or another host.
        if host != here or boot or boot_here:
            return False if host == here and boot and boot_here else None
    elif space != space_here:
        return None
    if began is not None:
        return started(pid) == began
    if sys.platform == "win32":  # os.kill would end the process there, whatever the signal
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's, but it is there
    return True


def _machine() -> str:
    """The host, its start, and the name space that process numbers belong to: containers have one each."""
    boot = space = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{socket.gethostname().replace(' ', '-')} {boot} {space}".rstrip()


def _parts(machine: str) -> tuple[str, str, str]:
    host, _, rest = machine.partition(" ")
    boot, _, space = rest.partition(" ")
    return host, boot, space
