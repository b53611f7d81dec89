"""The owner's side of a wire's process: start it, ask it, end it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import belay_py
from belay_py import errors
from belay_py.virtual import control

_START_TIMEOUT = 30.0
_ANSWER_TIMEOUT = 15.0
_END_TIMEOUT = 2.0


class WireProcess:
    """A running engine. It never waits for a client, so each question is answered at once."""

    def __init__(self, kind: str, where: str | None, model: dict[str, Any]) -> None:
        self._folder: str | None = None
        if kind == "pty" and where is None:
            # A name that stays the same when the pseudo-terminal is another one after a replug.
            self._folder = tempfile.mkdtemp(prefix="belay-wire-")
            where = f"{self._folder}/board"
        self._link, theirs = socket.socketpair()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            with theirs:
                self._process = self._spawn(theirs)
            settings = {"kind": kind, "where": where, "folder": self._folder, "model": model}
            self._link.settimeout(_START_TIMEOUT)
            self._exchange(settings, None)
            self._link.settimeout(_ANSWER_TIMEOUT)
        except BaseException:  # it goes on when nothing is left open
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The engine's process id."""
        return None if self._process is None else self._process.pid

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        package = str(Path(belay_py.__path__[0]).parent)
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        windows = sys.platform == "win32"
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "belay_py.testing.wire_engine"],
                stdin=subprocess.PIPE if windows else theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
                # A group of its own: Ctrl-C in a terminal is for the owner.
                process_group=None if windows else 0,
            )
        except OSError as error:
            raise errors.BelayError(
                f"cannot start the wire's process ({error.strerror or error}); try again"
            ) from error
        if windows and process.stdin is not None:
            process.stdin.write(control.share(theirs, process.pid).encode() + b"\n")
            process.stdin.close()
        return process

    def ask(self, asked: dict[str, Any], board: socket.socket | int | None = None) -> Any:
        """Ask for one thing, handing ``board`` over with it, and return the answer. Raises `BelayError`."""
        if board is not None and sys.platform == "win32" and self.pid is not None:
            assert not isinstance(board, int)  # a path is bridged there
            return self._exchange({**asked, "share": control.share(board, self.pid)}, None)
        return self._exchange(asked, board if board is None or isinstance(board, int) else board.fileno())

    def _exchange(self, asked: dict[str, Any], fd: int | None) -> Any:
        try:
            control.send(self._link, asked, fd)
            answer, _ = control.receive(self._link)
        except (EOFError, OSError) as error:
            raise errors.BelayError("the wire's process is gone; make a new wire") from error
        if "error" in answer:
            kind = {"SettingsError": errors.SettingsError, "NotSupported": errors.NotSupported}
            raise kind.get(answer["error"], errors.BelayError)(answer["message"])
        return answer["value"]

    def close(self) -> None:
        """End it, and what it has made. Never raises, any number of times."""
        self._link.close()
        if self._process is not None:
            try:
                self._process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:  # it is gone already, unless the process was killed
            with contextlib.suppress(OSError):
                shutil.rmtree(self._folder)
