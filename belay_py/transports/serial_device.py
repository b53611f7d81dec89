"""pyserial's port, as the direct transport needs it: configured once, exclusive, cheap to hold, closed for sure."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios
import time
import weakref
from typing import TYPE_CHECKING

import serial

from belay_py.devices import locks
from belay_py.devices.locks import PortLock
from belay_py.errors import BelayError
from belay_py.transports.lines import has_lines, set_lines
from belay_py.transports.port_errors import check_kind, check_options, explain
from belay_py.transports.profiled import profiled

if TYPE_CHECKING:
    from belay_py.transports.base import LinkOptions

_DRAIN_S = 0.1
_DRAIN_STEP_S = 0.005
_TIOCGEXCL = 0x80045440  # asm-generic/ioctls.h; Python's termios does not name it


_open_devices: weakref.WeakSet[SerialDevice] = weakref.WeakSet()
"""What a forked child must let go of."""


class SerialDevice(serial.Serial):
    """An open serial port.

    pyserial's ``exclusive`` is flock alone: it binds those who ask for it too, and a forked child that inherits the
    descriptor keeps the lock after its parent has closed. So the lock is undone expressly, and on real ports
    TIOCEXCL is set as well, which the kernel enforces against everybody but root. Not on pseudo-terminals: there the
    flag outlives its owner, until the other side closes.
    """

    has_lines = False
    """Whether the driver knows modem lines; false for pseudo-terminals."""

    def __init__(self, port: str, options: LinkOptions) -> None:
        self._opened_by = os.getpid()
        self._flagged = False
        self.lock = PortLock()
        # timeouts zero: pyserial-asyncio sets them anyway, and each setting later would configure the port again.
        # exclusive None, not False, which raises on Windows.
        super().__init__(timeout=0, write_timeout=0, exclusive=True if options.exclusive else None)
        self.baudrate = options.baudrate
        self.port = port

    def open(self) -> None:
        """Open and configure. Raises whatever pyserial and the system raise."""
        super().open()
        _open_devices.add(self)
        # pyserial's way of aborting a blocking read: four descriptors per port that nobody here will use.
        self._close_all(self.pipe_abort_read_r, self.pipe_abort_read_w)
        self._close_all(self.pipe_abort_write_r, self.pipe_abort_write_w)
        self.has_lines = has_lines(self.fileno())
        if self.exclusive and self.has_lines:
            self._flag_exclusive()

    def _flag_exclusive(self) -> None:
        try:
            answer = fcntl.ioctl(self.fileno(), _TIOCGEXCL, b"\0\0\0\0")
            fcntl.ioctl(self.fileno(), termios.TIOCEXCL)
        except OSError:
            return  # not every system has them; the lock is what counts
        # Root is let in all the same, so it has to ask (jclark/satpulse #117).
        if struct.unpack("I", answer)[0]:
            raise OSError(errno.EBUSY, "somebody else holds the port exclusively")
        self._flagged = True

    def _reconfigure_port(self, force_update: bool = False) -> None:
        # Only opening forces. Without this, setting a timeout on a port that has gone raises termios.error, and each
        # costs a USB transfer at unusual rates.
        if force_update:
            super()._reconfigure_port(force_update=True)  # type: ignore[misc]  # the stubs leave it out

    def _update_dtr_state(self) -> None:
        """Not in opening: pyserial would set DTR, then RTS, and what is None is the driver's business."""

    def _update_rts_state(self) -> None:
        """See `_update_dtr_state`."""

    def keep_lines_at_close(self) -> None:
        """Switch HUPCL off, by which the last close drops DTR and RTS. Raises termios.error."""
        settings = termios.tcgetattr(self.fileno())
        settings[2] &= ~termios.HUPCL
        termios.tcsetattr(self.fileno(), termios.TCSANOW, settings)

    def drain_briefly(self, *, discard: bool) -> None:
        """Give what the driver holds a tenth of a second to leave (a last Ctrl-B), then drop it. Never raises."""
        deadline = time.monotonic() + (0 if discard else _DRAIN_S)
        with contextlib.suppress(OSError, termios.error):
            while self.out_waiting and time.monotonic() < deadline:
                time.sleep(_DRAIN_STEP_S)
            termios.tcflush(self.fileno(), termios.TCOFLUSH)

    def close(self) -> None:
        """Give the port back. Never raises, whatever became of the device, and any number of times."""
        try:
            self._close()
        finally:
            self.lock.release()  # last: whoever gets it finds the port free

    def _close(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        _open_devices.discard(self)
        fd, self.fd = self.fd, None
        if fd is None:
            return
        if os.getpid() == self._opened_by:  # else a forked child's garbage collector would free the parent's port
            with contextlib.suppress(OSError):
                if self._flagged:
                    fcntl.ioctl(fd, termios.TIOCNXCL)
            with contextlib.suppress(OSError):
                if self.exclusive:
                    fcntl.flock(fd, fcntl.LOCK_UN)
        self._close_all(fd)

    @staticmethod
    def _close_all(*descriptors: int | None) -> None:
        for fd in descriptors:
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)


def _after_fork() -> None:
    """In the child: its copies would keep ports taken when it outlives its parent. Closing them unlocks nothing."""
    for device in list(_open_devices):
        device.close()


os.register_at_fork(after_in_child=_after_fork)


def open_device(port: str, options: LinkOptions) -> SerialDevice:
    """Lock the board and open ``port``; this blocks. Lines as its profile says, unless the options do.

    Both are set in one step, right after the kernel has raised them. Raises `DeviceNotFound`, `DeviceBusy`,
    `ConnectionFailed` or `SettingsError`; then nothing stays open.
    """
    check_options(port, options)
    check_kind(port)
    options, profile = profiled(port, options)
    device = SerialDevice(port, options)
    try:
        # Before opening, which may reset the board of whoever has it.
        device.lock = locks.take(port, exclusive=options.exclusive)
        device.open()
        set_lines(device.fileno(), dtr=options.dtr, rts=options.rts)
        if profile.hang_up is False:
            device.keep_lines_at_close()
    except BelayError:
        device.close()
        raise
    # termios.error and OverflowError come from configuring; both are no OSError.
    except (OSError, ValueError, OverflowError, termios.error) as exc:
        device.close()
        raise explain(port, exc) from exc
    except BaseException:  # it goes on when nothing is left open
        device.close()
        raise
    return device
