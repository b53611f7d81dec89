"""A virtual board from its owner's side: a process, and a control socket to it. Blocking, and of no event loop."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import belay_py
from belay_py import errors
from belay_py.virtual import control, running
from belay_py.virtual.options import SCHEME, VirtualBoardOptions, check_name

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_START_TIMEOUT = 240.0
"""Seconds for the first start, which may download and compile."""
_REQUEST_TIMEOUT = 15.0
_END_TIMEOUT = 2.0
_KERNEL_BUFFER = 8192
"""Bytes that the wire itself holds each way; more would hide from a sender that the board has stalled."""


class BoardProcess:
    """A virtual board, running from `start` to `close`. Every method is blocking, bounded and safe from any thread."""

    def __init__(self, name: str | None = None, options: VirtualBoardOptions | None = None) -> None:
        self.is_named = name is not None
        """Whether it is to live as long as this process, unless it is closed, and not only while somebody has it."""
        self.name = f"board-{secrets.token_hex(4)}" if name is None else check_name(name)
        if not isinstance(options, VirtualBoardOptions | None):
            raise errors.SettingsError(f"the options are {options!r}; pass VirtualBoardOptions(...)")
        self.options = options or VirtualBoardOptions()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        """The process that started it; a forked child has copies of all this."""
        self._link: socket.socket | None = None
        self._stderr: Any = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.port} {'running' if self.is_running else 'not running'}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> str:
        """The board's URL."""
        return f"{SCHEME}{self.name}"

    @property
    def is_running(self) -> bool:
        """Whether the board's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def has_ended(self) -> bool:
        """Whether there was a board and is none any more: it was closed, or its process has ended by itself."""
        return self._closed or (self._process is not None and self._process.poll() is not None)

    @property
    def pid(self) -> int | None:
        """The board's process id."""
        return None if self._process is None else self._process.pid

    # -- life

    def start(self, *, cdn: str | None = None) -> None:
        """Start the board, unless it runs; its program is booting when this returns, and `port` is its own.

        Raises VirtualBoardUnavailable, and DeviceBusy when the name is taken in this process.
        """
        self._require_here()
        with self._lock:
            if self._closed:
                raise errors.BelayError(f"{self.port} is closed; make a new one")
            if self.is_running:
                return
            if self._process is not None:
                raise errors.BelayError(f"the process of {self.port} is gone; make a new one")
            running.require_name(self)
            try:
                self._start(cdn)
            except BaseException:  # it goes on; the name is free, and the next start is a new one
                self._end()
                self._process = None
                running.leave(self)
                raise

    def _start(self, cdn: str | None) -> None:
        if importlib.util.find_spec("wasmtime") is None:
            raise errors.VirtualBoardUnavailable(
                'the virtual board needs wasmtime, which is not installed; run: pip install "belay_py[virtual]"'
            )
        self._check_folder()
        try:
            self._spawn()
            options = self.options.to_json()
            self._exchange({"name": self.name, "options": options, "cdn": cdn}, None, _START_TIMEOUT)
        except OSError as error:
            raise errors.VirtualBoardUnavailable(f"{self.port} could not be started: {error}") from error

    def _check_folder(self) -> None:
        folder = self.options.folder
        if folder is not None and not Path(folder).is_dir():
            raise errors.VirtualBoardUnavailable(f"{self.port}: there is no folder {folder}; create it first")

    def _spawn(self) -> None:
        package = str(Path(belay_py.__path__[0]).parent)
        path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
        # Where the worker's last words go: a pipe that nobody reads could fill up and stop it.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in _end
        mine, theirs = socket.socketpair()
        self._link, self._owner = mine, os.getpid()
        windows = sys.platform == "win32"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "belay_py.virtual"],
                stdin=subprocess.PIPE if windows else theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={**os.environ, "PYTHONPATH": path},
                # A group of its own: Ctrl-C in a terminal is for the owner.
                process_group=None if windows else 0,
            )
            if windows and self._process.stdin is not None:
                self._process.stdin.write(control.share(theirs, self._process.pid).encode() + b"\n")
                self._process.stdin.close()

    def close(self) -> None:
        """End the board's process. Wires see their end. Safe at any time, any number of times.

        In a forked child nothing ends: the board is its parent's.
        """
        if self._is_anothers:
            return
        self._closed = True
        # Not under the lock: a request that waits for an answer ends with the link.
        link = self._link
        if link is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._end()
        running.leave(self)

    def _end(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
        process = self._process
        if process is not None:
            try:
                process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    # -- requests

    @property
    def _is_anothers(self) -> bool:
        return self._owner not in (0, os.getpid())

    def _require_here(self) -> None:
        # Two who ask get each other's answers, and the lock may be held by nobody any more.
        if self._is_anothers:
            raise errors.BelayError(f"{self.port} belongs to the process that started it; start another board here")

    def _request(self, message: dict[str, Any], fd: int | None = None) -> Any:
        self._require_here()
        with self._lock:
            if self._link is None:
                state = "is closed" if self._closed else "is not running; call start() first"
                raise errors.BelayError(f"{self.port} {state}")
            return self._exchange(message, fd, _REQUEST_TIMEOUT)

    def _exchange(self, message: dict[str, Any], fd: int | None, timeout: float) -> Any:
        link = self._link
        if link is None:
            raise errors.BelayError(f"{self.port} is not running; call start() first")
        link.settimeout(timeout)
        try:
            control.send(link, message, fd)
            reply, _ = control.receive(link)
        except TimeoutError:
            raise errors.BelayError(f"{self.port} does not answer its owner; close it and make a new one") from None
        except (EOFError, OSError) as error:
            words = self._last_words()
            raise errors.BelayError(f"the process of {self.port} is gone{words}; make a new one") from error
        if "error" in reply:
            raise self._error(reply)
        return reply.get("value")

    def _last_words(self) -> str:
        if self._closed or self._stderr is None or self._process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT)
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f" ({lines[-1].strip()})" if lines else f" (exit status {self._process.poll()})"

    def _error(self, reply: dict[str, Any]) -> errors.BelayError:
        message = reply["message"]
        if reply["error"] == "DeviceBusy":
            return errors.DeviceBusy(message, holder=reply["holder"])
        kinds: dict[str, type[errors.BelayError]] = {
            "DeviceNotFound": errors.DeviceNotFound,
            "VirtualBoardUnavailable": errors.VirtualBoardUnavailable,
        }
        return kinds.get(reply["error"], errors.BelayError)(message)

    # -- the wire

    def open_wire(self, holder: str | None = None) -> socket.socket:
        """Connect to the board's serial port and give the host's end, which is non-blocking.

        Raises DeviceBusy while another wire is open, whose `holder` it names, and DeviceNotFound while unplugged.
        """
        host, board = socket.socketpair()
        with board:
            try:
                for end in (host, board):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
                self.attach(board, holder=holder)
                host.setblocking(False)
            except BaseException:  # it goes on when nothing is left open
                host.close()
                raise
        return host

    def attach(self, end: socket.socket | int, *, holder: str | None = None) -> None:
        """Connect something else to the board's serial port: a socket, or a descriptor such as a pty's master.

        The board gets a duplicate; close `end` as you like. A pty must be in raw mode, and its other side stay open.
        """
        message = {"do": "attach", "name": holder or f"a wire of process {os.getpid()}"}
        if sys.platform == "win32":
            if isinstance(end, int) or self.pid is None:
                raise errors.BelayError("on Windows only a socket can be attached to a virtual board")
            self._request({**message, "share": control.share(end, self.pid)})
        else:
            self._request(message, end if isinstance(end, int) else end.fileno())

    def detach(self) -> None:
        """Pull the wire off the port, whoever holds it; the board stays powered."""
        self._request({"do": "detach"})

    # -- the hardware

    def unplug(self) -> None:
        """Pull the plug: wires end, and the program too unless the board `keeps_power`."""
        self._request({"do": "unplug"})

    def replug(self) -> None:
        """Plug in again; the board boots, with its files, unless it kept its power."""
        self._request({"do": "replug"})

    def reset(self) -> None:
        """Hard reset: everything but files starts anew, and ``main.py`` runs."""
        self._request({"do": "reset"})

    def set_adc(self, channel: int | str, value: int) -> None:
        """Set what ``machine.ADC(channel).read_u16()`` reads, 0 to 65535."""
        if not isinstance(value, int | float) or not 0 <= value <= 65535:
            raise errors.SettingsError(f"an ADC reads 0 to 65535, not {value!r}")
        self._request({"do": "set_adc", "channel": str(channel), "value": int(value)})

    def set_pin(self, pin: int | str, level: int) -> None:
        """Apply a level, 0 or 1, to an input pin."""
        self._request({"do": "set_pin", "pin": str(pin), "level": int(bool(level))})

    def pin(self, pin: int | str) -> int | None:
        """Tell the level that the program drives; None while the pin is not an output."""
        value = self._request({"do": "pin", "pin": str(pin)})
        return None if value is None else int(value)
