"""The terminal is as it was, at whatever moment the process is stopped."""

from __future__ import annotations

import os
import subprocess
import sys

from .conftest import PATIENCE

# A session's leader cannot be stopped by SIGTSTP: after its handler has sent it again it goes on at once, as after fg.
PROGRAM = """
import os, signal, sys, termios
from belay_py.cli import terminal

good = termios.tcgetattr(0)
left = 0

def trace(frame, event, argument):
    global left
    if frame.f_code.co_filename != terminal.__file__:
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGTSTP)
    return trace

moments = 0
while left <= 0:
    moments += 1
    left = moments
    raw = terminal.RawTerminal()
    sys.settrace(trace)
    with raw.raw():
        sys.settrace(None)
        if termios.tcgetattr(0)[3] & (termios.ECHO | termios.ICANON | termios.ISIG):
            sys.exit(f"stopped at line {moments}, it is not raw")
        sys.settrace(trace)
        sys._getframe().f_trace = trace
    sys.settrace(None)
    if termios.tcgetattr(0) != good or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        sys.exit(f"stopped at line {moments}, it is not as before")
print(moments, file=sys.stderr)
"""


def test_a_stop_at_any_moment_of_going_raw_and_back() -> None:
    master, slave = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stdin=slave,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(master)
        os.close(slave)
    assert done.returncode == 0, done.stderr
    assert int(done.stderr) > 30, "every line was a moment"
